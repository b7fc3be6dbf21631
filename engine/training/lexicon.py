"""The plain words that training documents are composed of, split between training and held-out.

A field of a document is a *qualifier* and a *head* ("delivery" + "date"): the head says what kind
of value it has, and both spell its label in the document and its name in a schema. A fifth of
every list here belongs to held-out documents alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Split = Literal["train", "heldout"]
T = TypeVar("T")


def share(items: Sequence[T], split: Split) -> list[T]:
    """The split's part of a list: the held-out fifth, or all else."""
    order = random.Random(len(items)).sample(range(len(items)), len(items))
    held = set(order[: max(1, len(items) // 5)])
    return [item for index, item in enumerate(items) if (index in held) == (split == "heldout")]


@dataclass(frozen=True)
class Head:
    """What a field is about, apart from its qualifier.

    `kind` names the method of `Words` that draws its values; `nouns` are its wordings.
    """

    kind: str
    nouns: tuple[str, ...]


HEADS = (
    Head("date", ("date", "day", "date")),
    Head("time", ("time", "hour")),
    Head("code", ("number", "no", "id", "code", "ref", "reference")),
    Head("code", ("key", "serial", "label")),
    Head("amount", ("amount", "total", "sum", "value")),
    Head("amount", ("fee", "charge", "cost")),
    Head("amount", ("price", "rate")),
    Head("count", ("count", "quantity", "qty", "units", "pieces")),
    Head("person", ("name", "contact", "person")),
    Head("person", ("manager", "owner", "agent", "officer")),
    Head("company", ("company", "firm", "provider", "vendor")),
    Head("address", ("address", "location", "site")),
    Head("phone", ("phone", "tel", "mobile", "telephone")),
    Head("email", ("email", "mail", "e-mail")),
    Head("place", ("city", "town", "place")),
    Head("phrase", ("note", "remark", "comment", "subject", "title")),
    Head("phrase", ("item", "product", "article", "type")),
    Head("state", ("status", "state")),
    Head("level", ("priority", "level", "severity")),
    Head("measure", ("weight", "length", "size", "volume")),
    Head("percent", ("percent", "discount", "share")),
    Head("flag", ("flag", "confirmed", "paid", "active")),
    Head("currency", ("currency",)),
    Head("web", ("website", "url", "link")),
)

QUALIFIERS = (
    *("delivery", "pickup", "order", "invoice", "return", "arrival", "departure", "start", "end"),
    *("due", "issue", "expiry", "billing", "shipping", "emergency", "guest", "driver", "vehicle"),
    *("room", "table", "seat", "gate", "flight", "train", "parcel", "batch", "lot", "asset"),
    *("device", "model", "project", "task", "meeting", "session", "course", "class", "patient"),
    *("policy", "claim", "account", "member", "tenant", "lease", "deposit", "rent", "service"),
    *("repair", "warranty", "ticket", "case", "incident", "server", "host", "request", "build"),
    *("release", "branch", "store", "warehouse", "supplier", "customer", "client", "buyer"),
    *("seller", "sender", "receiver", "carrier", "consignee", "employee", "student", "teacher"),
    *("school", "bank", "card", "payment", "refund", "tax", "customs", "freight", "handling"),
    *("net", "gross", "monthly", "annual", "daily", "first", "last", "previous", "next", "new"),
    *("old", "main", "second", "backup", "home", "work", "office", "local", "primary", "site"),
    *("event", "hotel", "booking", "tour", "cargo", "pallet", "crate", "meter", "reading"),
    *("fuel", "energy", "water", "license", "permit", "visa", "doctor", "clinic", "lab", "test"),
    *("sample", "loan", "credit", "transfer", "salary", "bonus", "expense", "budget", "contract"),
    *("vendor", "quote", "offer", "bid", "auction", "ship", "port", "dock", "route", "stop"),
)

DOCUMENTS = (
    *("invoice", "order", "delivery note", "work order", "support ticket", "booking", "quote"),
    *("statement", "packing list", "inspection report", "application", "registration", "claim"),
    *("service report", "timesheet", "purchase order", "reservation", "shipping notice", "memo"),
    *("meeting notes", "incident report", "contract", "certificate", "itinerary", "rental form"),
    *("inventory sheet", "payslip", "waybill", "job card", "lab report", "membership form"),
)

TRADES = (
    *("Store", "Trading", "Market", "Enterprise", "Hardware", "Supplies", "Cafe", "Motor"),
    *("Books", "Pharmacy", "Restaurant", "Services", "Foods", "Electric", "Stationery", "Bakery"),
    *("Mini Market", "Marketing", "Industries", "Optical", "Furniture", "Gardens", "Photo"),
    *("Gift & Deco", "Auto Parts", "Kitchen", "Grill House", "Seafood", "Home Centre", "Studio"),
    *("Logistics", "Holdings", "Systems", "Clinic", "Dental", "Boutique", "Corner", "Express"),
    *("Petrol Station", "Steak House", "Noodle Bar", "Tyre & Battery", "Paper", "Toys", "Fashion"),
)
FORMS = (
    *("Ltd", "Sdn Bhd", "Sdn. Bhd.", "Inc.", "GmbH", "LLC", "Co.", "(M) Sdn Bhd", "S.A.", "B.V."),
    *("Pte Ltd", "Bhd", "AG", "Oy", "S.r.l.", "& Co. KG", "Pty Ltd", "SDN.BHD.", "Corp.", "PLC"),
)
STREETS = (
    *("Street", "Road", "Avenue", "Lane", "Way", "Place", "Jalan", "Square", "Drive", "Jln"),
    *("Lorong", "Rue", "Via", "Calle", "Crescent", "Court", "Persiaran", "Boulevard", "Close"),
)
AREAS = (
    *("Taman", "Bandar", "Kampung", "Seksyen", "Park", "Heights", "Industrial Park", "Plaza"),
    *("Mall", "Centre", "Garden", "Village", "Business Park", "Kawasan Perindustrian", "Kota"),
)
GOODS = (
    *("bread", "coffee", "milk", "rice", "sugar", "tea", "soap", "paper", "pen", "cable", "lamp"),
    *("paint", "brush", "screw", "nail", "glue", "tape", "bag", "box", "cup", "plate", "knife"),
    *("chair", "desk", "shirt", "shoe", "hat", "battery", "filter", "oil", "tube", "bolt", "hose"),
    *("cake", "egg", "fish", "chicken", "beef", "noodle", "soup", "salad", "juice", "water"),
    *("apple", "banana", "onion", "potato", "garlic", "cheese", "butter", "cream", "spice"),
    *("glove", "mask", "towel", "mirror", "clock", "ruler", "folder", "stapler", "marker", "ink"),
)
ADJECTIVES = (
    *("red", "blue", "green", "black", "white", "small", "large", "big", "hot", "cold", "iced"),
    *("fresh", "dry", "soft", "hard", "heavy", "light", "premium", "plain", "double", "mini"),
    *("steel", "wooden", "plastic", "glass", "cotton", "leather", "organic", "frozen", "special"),
)
STATES = (
    *("open", "closed", "pending", "shipped", "paid", "draft", "approved", "rejected", "active"),
    *("inactive", "done", "cancelled", "waiting", "new", "in progress", "on hold", "resolved"),
    *("failed", "overdue", "confirmed", "returned", "lost", "ready", "blocked", "archived"),
)
LEVELS = (
    *("low", "normal", "high", "urgent", "critical", "medium", "minor", "major", "trivial", "none"),
)
CURRENCIES = ("EUR", "USD", "GBP", "MYR", "CHF", "SGD", "JPY", "PLN", "SEK", "INR", "AUD", "CAD")
UNITS = ("kg", "g", "lb", "t", "l", "ml", "m", "cm", "mm", "km", "in", "ft", "kWh", "pcs")

MONTHS = {
    "en": (
        *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
        *("October", "November", "December"),
    ),
    "de": (
        *("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September"),
        *("Oktober", "November", "Dezember"),
    ),
    "fr": (
        *("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre"),
        *("octobre", "novembre", "décembre"),
    ),
    "es": (
        *("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre"),
        *("octubre", "noviembre", "diciembre"),
    ),
    "ms": (
        *("Januari", "Februari", "Mac", "April", "Mei", "Jun", "Julai", "Ogos", "September"),
        *("Oktober", "November", "Disember"),
    ),
}

VERBS = (
    *("get", "find", "create", "update", "delete", "book", "send", "calculate", "convert", "check"),
    *("search", "list", "set", "start", "stop", "schedule", "cancel", "add", "remove", "compute"),
    *("fetch", "track", "order", "open", "close", "register", "estimate", "plan", "reserve", "log"),
)
OBJECTS = (
    *("weather", "flight", "hotel", "invoice", "ticket", "meeting", "reminder", "message", "loan"),
    *("distance", "area", "temperature", "currency", "recipe", "song", "playlist", "user", "order"),
    *("package", "stock price", "news", "route", "taxi", "table", "appointment", "volume", "speed"),
    *("interest", "calories", "translation", "movie", "event", "report", "account", "device"),
    *("light", "alarm", "file", "backup", "server", "match score", "population", "tax", "rent"),
)
PARAMETERS = {
    "place": ("city", "location", "destination", "origin", "country", "region", "start point"),
    "person": ("name", "user", "recipient", "author", "artist", "owner", "player", "guest"),
    "count": ("number", "count", "limit", "quantity", "days", "guests", "years", "size", "base"),
    "integer": ("height", "width", "radius", "mass", "distance", "age", "duration", "floor"),
    "amount": ("amount", "price", "rate", "budget", "principal", "weight", "score", "temperature"),
    "date": ("date", "day", "start date", "end date", "deadline", "check in date"),
    "time": ("time", "start time", "hour"),
    "code": ("id", "code", "order number", "ticket id", "key", "account number"),
    "phrase": ("title", "topic", "query", "message", "category", "cuisine", "product", "genre"),
    "currency": ("currency", "source currency", "target currency"),
    "unit": ("unit", "format", "scale"),
    "flag": ("verbose", "round trip", "vegetarian", "notify", "include tax", "recursive"),
    "email": ("email", "address", "contact"),
}
