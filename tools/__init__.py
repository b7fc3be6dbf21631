"""The tools room: what an agent may do, and the folder it may do it in."""

from .changes import changes_of
from .documents import STANDARD_INPUT, Document, DocumentReader, Limits, Picture, find_documents
from .errors import (
    ArgumentError,
    DocumentError,
    FetchError,
    QueryError,
    RuleError,
    SandboxError,
    SecretError,
    ServerError,
    ToolDefinitionError,
    ToolError,
    ToolFailedError,
    UnknownToolError,
    WorkspaceError,
)
from .fetch import Fetcher, Host
from .mcp import Servers
from .name import called
from .permissions import Call, Decision, Rule, Rules, decide
from .redactor import Redactor
from .registry import Registry
from .sandbox import Sandbox
from .secret import SecretName, Secrets, read_secrets
from .skills import SKILL_FILE, SKILLS
from .tool import Context, Kind, Shown, Tool, tool
from .workspace import OWN_FILE, Workspace

__all__ = [
    "OWN_FILE",
    "SKILLS",
    "SKILL_FILE",
    "STANDARD_INPUT",
    "ArgumentError",
    "Call",
    "Context",
    "Decision",
    "Document",
    "DocumentError",
    "DocumentReader",
    "FetchError",
    "Fetcher",
    "Host",
    "Kind",
    "Limits",
    "Picture",
    "QueryError",
    "Redactor",
    "Registry",
    "Rule",
    "RuleError",
    "Rules",
    "Sandbox",
    "SandboxError",
    "SecretError",
    "SecretName",
    "Secrets",
    "ServerError",
    "Servers",
    "Shown",
    "Tool",
    "ToolDefinitionError",
    "ToolError",
    "ToolFailedError",
    "UnknownToolError",
    "Workspace",
    "WorkspaceError",
    "called",
    "changes_of",
    "decide",
    "find_documents",
    "read_secrets",
    "tool",
]
