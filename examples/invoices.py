"""The totals of a folder of documents, by vendor, and which of them a person should look at."""

from collections import Counter

from gesso.agent import extract

totals: Counter[str] = Counter()
for record in extract("company!, total!: number", ["examples/invoices"]):
    if record.value is None:
        print(f"{record.source}: {record.error}")
    else:
        totals[record.value["company"]] += record.value["total"]
        if min(record.confidence.values()) < 0.9:
            print(f"{record.source}: look at {record.value}")
print(*(f"{total:10.2f}  {company}" for company, total in totals.most_common()), sep="\n")
