"""Everything that can go wrong in the agent room.

AgentError
├── AgentFileError   an agent's file is missing or broken: file, line and field are named
├── ProjectError     a project folder is missing or without agents, or a name in it is unknown
└── RunError         a run could not be carried out at all
"""


class AgentError(Exception):
    """Base class of the agent room's errors."""


class AgentFileError(AgentError):
    """An agent's file is missing or broken. The message begins with `FILE:LINE: FIELD:`."""


class ProjectError(AgentError):
    """A project folder is missing or without agents, or a name in it is unknown or taken."""


class RunError(AgentError):
    """A run could not be carried out at all; a run that merely failed is no error but a state."""
