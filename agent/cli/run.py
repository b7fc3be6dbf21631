"""`gesso run`: one message to one agent, and its answer."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from .options import Json

AgentFile = Annotated[Path, typer.Argument(metavar="AGENT.md", help="The agent's file.")]
Text = Annotated[str, typer.Argument(metavar="MESSAGE", help="What to tell the agent.")]
Model = Annotated[
    str | None, typer.Option(metavar="M", help="A model instead of the one in the agent's file.")
]


def run(agent_file: AgentFile, text: Text, model: Model = None, as_json: Json = False) -> None:
    """Give an agent one message and print its answer.

    The project is the folder that holds `agents/AGENT.md`, or else the folder of the file.
    """
    from ..agent import Agent
    from ..log import redactor_of, start
    from ..runtime import Runtime
    from ..state import SECRETS, STATE
    from .output import print_json

    handler = start(logging.WARNING)
    agent = Agent.load(agent_file)  # before a project is made around a file that is none
    folder = agent_file.resolve().parent
    project = folder.parent if folder.name == "agents" else folder
    handler.addFilter(redactor_of(agent.secrets, project / STATE / SECRETS))
    with Runtime(project, engine=model, listen=False) as runtime:
        agent = runtime.add(agent_file)
        runtime.engine(runtime.model_of(agent))
        ended = runtime.run(agent.name, text)
        messages = runtime.store.messages(ended.id)
        records = runtime.store.records(run=ended.id)
    answer = messages[-1].content if messages[-1].role == "assistant" else ""
    if as_json:
        print_json(
            {
                "run": ended.id,
                "state": ended.state,
                "reason": ended.reason,
                "model": ended.model,
                "text": answer,
                "records": [{"source": r.source, "data": r.data} for r in records],
            }
        )
    else:
        for record in records:
            print_json(record.data)
        if answer:
            print(answer)
        if ended.state != "done":
            typer.echo(f"{ended.state}: {ended.reason}", err=True)
    if ended.state != "done":
        raise typer.Exit(1)
