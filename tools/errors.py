"""Everything that can go wrong in the tools room.

ToolError
├── ToolDefinitionError   a function cannot be made into a tool, or two tools share a name
├── UnknownToolError      a tool was asked for that nobody registered
├── ArgumentError         the arguments of a call do not fit the tool's parameters
├── RuleError             a permission rule cannot be read, or is about nothing the agent has
├── WorkspaceError        a path leads out of the workspace, or to nothing readable in it
├── DocumentError         a document cannot be read: too large, broken, of no known format
├── FetchError            a page cannot be fetched, or must not be
├── QueryError            a SQLite file cannot answer a query, or must not
├── SandboxError          a command must not run here, or cannot
├── SecretError           a secret is missing, too short, or lies where others can read it
├── ServerError           an MCP server is not there, does not answer, or offers what is not fit
└── ToolFailedError       the tool's own code raised something
"""


class ToolError(Exception):
    """Base class of the tools room's errors. What a call raises is told to the model."""


class ToolDefinitionError(ToolError):
    """A function cannot be made into a tool, or two tools share a name."""


class UnknownToolError(ToolError):
    """A tool was asked for that nobody registered."""


class ArgumentError(ToolError):
    """The arguments of a call do not fit the tool's parameters."""


class RuleError(ToolError):
    """A permission rule cannot be read, or is about nothing that the agent has."""


class WorkspaceError(ToolError):
    """A path leads out of the workspace, or to nothing that can be read in it."""


class DocumentError(ToolError):
    """A document cannot be read: it is not there, too large, broken, or of no format that is
    known."""


class FetchError(ToolError):
    """A page cannot be fetched, or must not be: its host, its address, its size, its time."""


class QueryError(ToolError):
    """A SQLite file cannot answer a query, or must not."""


class SandboxError(ToolError):
    """A command must not run here, or cannot: no bubblewrap, no Linux, no such program."""


class SecretError(ToolError):
    """A secret is missing, too short to be blanked, or lies where others can read it."""


class ServerError(ToolError):
    """An MCP server is not there, does not answer, or offers what is not fit to be used."""


class ToolFailedError(ToolError):
    """The tool's own code raised something that is not a `ToolError`."""
