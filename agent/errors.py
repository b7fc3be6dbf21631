"""Everything that can go wrong in the agent room.

AgentError
├── AgentFileError   an agent's or a skill's file is broken: file, line and field are named
├── ProjectError     a project folder is missing or without agents, or a name in it is unknown
├── ScheduleError    the text of a schedule cannot be read, or names no time
├── ListenError      the address for webhooks, or of a server, cannot be listened on
├── ServeError       a model cannot be served as it was asked for
├── RunError         a run could not be carried out at all
├── InstanceError    a project is up already, or is not up
├── ControlError     a runtime that is up does not answer, or refuses what it is asked
├── SchemaError      a job's schema cannot be read: the file, the class, or the place is named
├── OutputError      a job's records cannot be written where they were asked for
├── ReviewError      a job's schema does not allow a value that a person gave
├── CostError        what something costs cannot be told as it was asked for
│   └── UpdateError  the list of prices cannot be fetched
├── ServiceError     the system's service manager cannot be given a project
└── SettingsError    a setting is unknown or wrong: file and line, variable or flag are named
"""


class AgentError(Exception):
    """Base class of the agent room's errors."""


class AgentFileError(AgentError):
    """An agent's or a skill's file is missing or broken. The message begins with
    `FILE:LINE: FIELD:`."""


class ProjectError(AgentError):
    """A project folder is missing or without agents, or a name in it is unknown or taken."""


class ScheduleError(AgentError):
    """The text of a schedule cannot be read, or names no time. In an agent's file it becomes an
    `AgentFileError`."""


class ListenError(AgentError):
    """The address for webhooks, or of a server, cannot be listened on."""


class ServeError(AgentError):
    """A model cannot be served as it was asked for: others could reach it without a key."""


class RunError(AgentError):
    """A run could not be carried out at all; a run that merely failed is no error but a state."""


class InstanceError(AgentError):
    """A project is up already, or is not up, or does not end."""


class ControlError(AgentError):
    """A runtime that is up does not answer, or refuses what it is asked; the message is its own."""


class SchemaError(AgentError):
    """A job's schema cannot be read: there is no such file or class, or its short form is wrong at
    a place that is named."""


class OutputError(AgentError):
    """A job's records cannot be written where they were asked for."""


class ReviewError(AgentError):
    """A job's schema does not allow a value that a person gave. The message begins with the field,
    as a JSON pointer."""


class CostError(AgentError):
    """What something costs cannot be told as it was asked for: a cloud model, a machine, a period
    or a currency is unknown."""


class UpdateError(CostError):
    """The list of prices cannot be fetched; the one that was there stays in use."""


class ServiceError(AgentError):
    """The system's service manager cannot be given a project, or has another one by that name."""


class SettingsError(AgentError):
    """A setting is unknown or wrong. The message begins with `FILE:LINE:`, the variable or `flag`,
    then the setting."""
