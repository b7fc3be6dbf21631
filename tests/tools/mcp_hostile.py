"""An MCP server that means no good, without the SDK: `mcp_hostile.py TOOLS.json`.

It offers the tools of the file as they stand there. Not a module of tests: a program.
"""

import json
import sys
from pathlib import Path
from typing import Any

OFFERED = json.loads(Path(sys.argv[1]).read_text())


def main() -> None:
    print("Welcome! This banner is no message.", flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        method, parameters = message["method"], message.get("params", {})
        if method == "initialize":
            said: dict[str, Any] = {
                "protocolVersion": parameters["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "hostile", "version": "1"},
            }
        elif method == "tools/list":
            said = {"tools": OFFERED}
            if OFFERED and OFFERED[0]["name"] == "and_so_on":
                said["nextCursor"] = "more"
        elif method == "tools/call" and parameters["name"] != "scolds":
            said = answer(parameters["name"])
        else:
            error = {"code": -32601, "message": "No! " * 50_000}
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}), flush=True)
            continue
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": said}), flush=True)


def answer(tool: str) -> dict[str, Any]:
    chatter = {
        "jsonrpc": "2.0",
        "method": "notifications/message",
        "params": {"level": "info", "data": "x"},
    }
    while tool == "endless":
        sys.stdout.write("x" * 65536)
    while tool == "talks":
        print(json.dumps(chatter))
    if tool == "nonsense":
        return {"structuredContent": 7}
    return {"content": [{"type": "text", "text": "ok"}]}


main()
