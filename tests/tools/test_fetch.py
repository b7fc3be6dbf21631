"""Fetching pages, from real servers on the loopback that a test's resolver leads to."""

import asyncio
import gzip
import re
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from gesso.tools import Context, Fetcher, FetchError, Registry
from gesso.tools.fetch import fetch
from gesso.tools.page import plain_text

PAGE = "<html><head><title>T</title><script>x()</script><body><h1>Häd</h1><p>A  <b>b</b>\n c"


class Handler(BaseHTTPRequestHandler):
    """Answers by path; the server keeps what was asked of it."""

    server: "Server"  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))
        path, _, query = self.path.partition("?")
        if path == "/to":
            self.send_response(302)
            self.send_header("Location", query)
            self.end_headers()
        elif path == "/endless":
            self._head("text/plain")
            self._until_closed(b"x" * 65536, 0)
        elif path == "/slow":
            self._head("text/plain")
            self._until_closed(b"x", 0.05)
        elif path == "/slow-head":
            self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
            self._until_closed(b"x", 0.05)
        elif path == "/bomb":
            self._head("text/plain", "gzip")
            self.wfile.write(gzip.compress(bytes(10_000_000)))
        elif path == "/thicket":
            self._head("text/html")
            self.wfile.write(b"<!--" * 500_000)
        elif path == "/image":
            self._head("image/png")
        elif path == "/gone":
            self.send_error(410)
        elif path == "/long":
            self._head("text/plain")
            self.wfile.write(b"x" * 40_000)
        else:
            self._head("text/html; charset=utf-8")
            self.wfile.write(PAGE.encode())

    def _head(self, kind: str, encoding: str | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()

    def _until_closed(self, piece: bytes, pause: float) -> None:
        try:
            while True:
                self.wfile.write(piece)
                time.sleep(pause)
        except OSError:
            self.server.hung_up.set()

    def log_message(self, format: str, *args: Any) -> None:
        """Tests print nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str, port: int = 0) -> None:
        super().__init__((address, port), Handler)
        self.asked: list[tuple[str, str]] = []
        self.hung_up = threading.Event()
        self.port = self.server_address[1]


def serve(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    yield from serve(Server("127.0.0.1"))


@pytest.fixture
def neighbour(server: Server) -> Iterator[Server]:
    """Another host with the same port."""
    yield from serve(Server("127.0.0.2", server.port))


class Names:
    """A resolver from a table; each look-up of a name takes its next answer, the last for ever."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        given = self.answers[host]
        return given.pop(0) if len(given) > 1 else given[0]


def fetcher(server: Server, names: Names | None = None, **changes: Any) -> Fetcher:
    port = server.port
    settings: dict[str, Any] = {
        "hosts": [f"a.test:{port}", f"*.b.test:{port}"],
        "seconds": 5.0,
        "resolver": names or Names(a_test=[["127.0.0.1"]], www_b_test=[["127.0.0.1"]]),
        "admits": lambda address: address == "127.0.0.1",
    }
    return Fetcher(**{**settings, **changes})


def get(server: Server, url: str, **changes: Any) -> str:
    return asyncio.run(fetcher(server, **changes).fetch(url.replace("PORT", str(server.port))))


def test_a_page_is_read_as_markdown(server: Server) -> None:
    read = get(server, "http://a.test:PORT/page#part")
    # markitdown, where it is installed, marks more than our own reader does
    address = rf"http://a\.test:{server.port}/page#part"
    assert re.fullmatch(rf"{address}\n\n(T\n)?# Häd\n+A \**b\**\sc", read)
    assert server.asked == [("/page", f"a.test:{server.port}")]
    assert "# Häd" in get(server, "http://WWW.b.test:PORT/")


def test_the_tool_cuts_a_long_page_and_says_so(server: Server, context: Context) -> None:
    tool = fetch(fetcher(server))
    assert (tool.name, tool.sends) == ("fetch", True)
    read = tool.call({"url": f"http://a.test:{server.port}/long"}, context)
    assert read.endswith("characters are shown]")
    assert len(read) < 31_000


@pytest.mark.parametrize(
    "url",
    [
        "http://c.test:PORT/",
        "http://b.test:PORT/",
        "http://xb.test:PORT/",
        "http://a.test.c.test:PORT/",
        "http://a.test/",
        "http://a.test:1/",
        "http://c.test:PORT/#a.test:PORT",
        "http://c.test:PORT\\@a.test:PORT/",
        "http://127.0.0.1:PORT/",
        "http://2130706433:PORT/",
        "http://0x7f.1:PORT/",
        "http://[::1]:PORT/",
        "http://[::ffff:127.0.0.1]:PORT/",
        "http://localhost:PORT/",
    ],
)
def test_a_host_that_is_not_listed_is_not_looked_up(server: Server, url: str) -> None:
    names = Names()
    with pytest.raises(FetchError, match=r"is not listed; hosts: a\.test:|user's name or password"):
        get(server, url, names=names)
    assert (names.asked, server.asked) == ([], [])


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("file:///etc/passwd", "is no http or https URL"),
        ("ftp://a.test/", "is no http or https URL"),
        ("//a.test/", "is no http or https URL"),
        ("http:///x", "is no http or https URL"),
        ("http://u:p@a.test:PORT/", "holds a user's name or password"),
        ("http://a.test:port/", "Invalid port"),
        ("http://a.test:PORT/\0", "Invalid non-printable"),
    ],
)
def test_a_url_that_is_no_page(server: Server, url: str, line: str) -> None:
    with pytest.raises(FetchError, match=line):
        get(server, url)
    assert server.asked == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "localhost"]
)
def test_a_listed_host_that_leads_inside_is_refused(server: Server, host: str) -> None:
    """Through the system's own resolver, which reads all these forms."""
    inside = Fetcher([f"{host}:{server.port}"], seconds=5.0)
    with pytest.raises(FetchError, match=r"is no public address|cannot be resolved|Invalid IPv4"):
        asyncio.run(inside.fetch(f"http://{host}:{server.port}/"))
    assert server.asked == []


@pytest.mark.parametrize(
    "answer", ["10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%eth0"]
)
def test_one_private_address_among_public_ones_is_enough(server: Server, answer: str) -> None:
    names = Names(a_test=[["127.0.0.1", answer]])
    with pytest.raises(FetchError, match=r"a\.test: .* is no public address"):
        get(server, "http://a.test:PORT/", names=names)
    assert server.asked == []


def test_a_resolver_that_changes_its_answer_changes_nothing(
    server: Server, neighbour: Server
) -> None:
    names = Names(a_test=[["127.0.0.1"], ["127.0.0.2"]])
    get(server, "http://a.test:PORT/", names=names)
    assert (len(server.asked), len(neighbour.asked), names.asked) == (1, 0, ["a.test"])
    with pytest.raises(FetchError, match=r"127\.0\.0\.2 is no public address"):
        get(server, "http://a.test:PORT/", names=names)
    assert neighbour.asked == []


def test_a_redirect_is_followed_where_it_may_go(server: Server) -> None:
    read = get(server, "http://a.test:PORT/to?http://www.b.test:PORT/to?/page")
    assert read.startswith(f"http://www.b.test:{server.port}/page\n")
    assert [path for path, _ in server.asked][-1] == "/page"


@pytest.mark.parametrize(
    ("location", "line"),
    [
        ("http://127.0.0.2:PORT/", "is not listed"),
        ("http://2130706434:PORT/", "is not listed"),
        ("http://[::1]:PORT/", "is not listed"),
        ("//169.254.169.254/latest/meta-data/", "is not listed"),
        ("http://in.b.test:PORT/", "127.0.0.2 is no public address"),
        ("file:///etc/passwd", "is no http or https URL"),
        ("http://[", "redirected to"),
        ("/to?/to?/to?/to?/to?/to?/page", "redirected more than 5 times"),
    ],
)
def test_a_redirect_is_judged_like_the_first_url(
    server: Server, neighbour: Server, location: str, line: str
) -> None:
    names = Names(a_test=[["127.0.0.1"]], in_b_test=[["127.0.0.2"]])
    with pytest.raises(FetchError) as caught:
        get(server, f"http://a.test:PORT/to?{location}", names=names)
    assert line in str(caught.value)
    assert neighbour.asked == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("endless", "is larger than 1,000,000 bytes"),
        ("slow", "not done within 0.5 seconds"),
        ("slow-head", "not done within 0.5 seconds"),
        ("bomb", "is compressed, although it was asked not to be"),
        ("image", "is image/png, which is no text"),
        ("gone", "410 Gone"),
    ],
)
def test_a_page_that_is_too_much(server: Server, path: str, line: str) -> None:
    begun = time.monotonic()
    with pytest.raises(FetchError) as caught:
        get(server, f"http://a.test:PORT/{path}", seconds=0.5, size=1_000_000)
    assert line in str(caught.value)
    assert time.monotonic() - begun < 5
    if path in ("endless", "slow", "slow-head"):
        assert server.hung_up.wait(5)


def test_a_page_that_is_slow_to_parse_is_left(server: Server) -> None:
    begun = time.monotonic()
    with pytest.raises(FetchError, match=r"not done within 1 seconds"):
        get(server, "http://a.test:PORT/thicket", seconds=1)
    assert time.monotonic() - begun < 8


def test_a_resolver_that_hangs_is_left(server: Server) -> None:
    async def hang(host: str, port: int) -> Sequence[str]:
        await asyncio.sleep(60)
        return []

    with pytest.raises(FetchError, match=r"not done within 0\.2 seconds"):
        get(server, "http://a.test:PORT/", resolver=hang, seconds=0.2)


def test_a_host_that_is_down_is_one_line(server: Server) -> None:
    with pytest.raises(FetchError, match=r"^http://a\.test:1/: .*connect"):
        get(server, "http://a.test:1/", hosts=["a.test:1"])


def test_the_environment_names_no_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert "# Häd" in get(server, "http://a.test:PORT/")


def test_without_hosts_nothing_is_fetched(context: Context) -> None:
    (tool,) = Registry().select(["fetch"])
    with pytest.raises(FetchError, match=r"the host example\.com is not listed; hosts: none"):
        tool.call({"url": "https://example.com/"}, context)


def test_html_without_markitdown_keeps_headings_lists_and_links() -> None:
    html = (
        "<style>p{}</style><h2>A &amp; B</h2><ul><li>one<li><a href='/x'>two</a></ul>"
        "<table><tr><td>c</td></tr></table><svg><text>no</text></svg><p>end<a>bare</a>"
    )
    assert plain_text(html) == "## A & B\n- one\n- [two](/x)\nc\nend[bare]()"
