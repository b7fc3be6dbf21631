"""The schema that a store in PostgreSQL begins with: that of revision 0010, with what SQLite keeps
by FTS5 and by its triggers. Later revisions are for both databases.

`facts.words` are the words of a fact as FTS5's `porter unicode61` has them: by Porter's stems, none
left out, letters without their marks, and parted at whatever is neither letter nor digit, so that
PostgreSQL's parser is left no addresses or signs to find.
"""

import unicodedata

from sqlalchemy import Connection

REVISION = "0010"

EDGES = (32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)
SUMS = {
    "generations": "1",
    "prompt_tokens": "NEW.prompt_tokens",
    "cached_tokens": "NEW.cached_tokens",
    "output_tokens": "NEW.output_tokens",
    "canvases": "NEW.canvases",
    "denoising_steps": "NEW.denoising_steps",
    "seconds": "NEW.prefill_seconds + NEW.denoising_seconds",
    "measured_joules": "CASE NEW.energy WHEN 'measured' THEN NEW.joules ELSE 0 END",
    "estimated_joules": "CASE NEW.energy WHEN 'estimated' THEN NEW.joules ELSE 0 END",
    "unknown_generations": "CASE NEW.energy WHEN 'unknown' THEN 1 ELSE 0 END",
    "unknown_seconds": "CASE NEW.energy WHEN 'unknown' "
    "THEN NEW.prefill_seconds + NEW.denoising_seconds ELSE 0 END",
}
CURRENT = "superseded_by IS NULL AND forgotten IS NULL"

TABLES = f"""
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    agent TEXT NOT NULL,
    trigger TEXT NOT NULL,
    input TEXT NOT NULL,
    state TEXT NOT NULL,
    model TEXT NOT NULL,
    queued FLOAT NOT NULL,
    started FLOAT,
    ended FLOAT,
    reason TEXT,
    part BIGINT NOT NULL DEFAULT 0,
    wanted TEXT,
    due FLOAT,
    job JSON
);
CREATE INDEX runs_by_state ON runs (state, queued);
CREATE TABLE messages (
    run TEXT REFERENCES runs (id) ON DELETE CASCADE,
    position BIGINT,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    tool_calls JSON NOT NULL,
    name TEXT,
    PRIMARY KEY (run, position)
);
CREATE TABLE records (
    key TEXT PRIMARY KEY,
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    agent TEXT NOT NULL,
    source TEXT,
    data JSON NOT NULL,
    at FLOAT NOT NULL
);
CREATE INDEX records_by_agent ON records (agent, at);
CREATE TABLE ledger (
    key TEXT PRIMARY KEY,
    run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    agent TEXT NOT NULL,
    model TEXT NOT NULL,
    device TEXT NOT NULL,
    at FLOAT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    canvases BIGINT NOT NULL,
    denoising_steps BIGINT NOT NULL,
    prefill_seconds FLOAT NOT NULL,
    denoising_seconds FLOAT NOT NULL,
    joules FLOAT,
    energy TEXT NOT NULL DEFAULT 'unknown'
);
CREATE INDEX ledger_by_run ON ledger (run);
CREATE INDEX ledger_by_time ON ledger (at, key);
CREATE TABLE spends (
    start BIGINT,
    agent TEXT,
    job TEXT,
    model TEXT,
    device TEXT,
    prompt_bucket BIGINT,
    generations BIGINT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    canvases BIGINT NOT NULL,
    denoising_steps BIGINT NOT NULL,
    seconds FLOAT NOT NULL,
    measured_joules FLOAT NOT NULL,
    estimated_joules FLOAT NOT NULL,
    unknown_generations BIGINT NOT NULL,
    unknown_seconds FLOAT NOT NULL,
    PRIMARY KEY (start, agent, job, model, device, prompt_bucket)
);
CREATE TABLE facts (
    id BIGSERIAL PRIMARY KEY,
    agent TEXT NOT NULL DEFAULT '',
    episode TEXT NOT NULL DEFAULT '',
    text TEXT NOT NULL,
    source TEXT NOT NULL,
    at FLOAT NOT NULL,
    superseded_by BIGINT REFERENCES facts (id),
    forgotten FLOAT,
    uses BIGINT NOT NULL DEFAULT 0,
    used FLOAT,
    words TSVECTOR GENERATED ALWAYS AS (gesso_words(text)) STORED,
    length BIGINT GENERATED ALWAYS AS (gesso_length(gesso_words(text))) STORED
);
CREATE INDEX facts_by_episode ON facts (episode, agent, at);
CREATE INDEX facts_by_successor ON facts (superseded_by);
CREATE UNIQUE INDEX facts_once ON facts (md5(text), source, agent, episode) WHERE {CURRENT};
CREATE INDEX facts_index ON facts USING gin (words) WHERE {CURRENT};
CREATE TABLE blocks (
    agent TEXT,
    label TEXT,
    description TEXT NOT NULL,
    value TEXT NOT NULL,
    bound BIGINT NOT NULL,
    changed FLOAT NOT NULL,
    outside BOOLEAN NOT NULL DEFAULT false,
    PRIMARY KEY (agent, label)
);
CREATE TABLE vectors (
    fact BIGINT REFERENCES facts (id),
    model TEXT,
    vector BYTEA NOT NULL,
    PRIMARY KEY (fact, model)
);
CREATE TABLE inbox (
    id BIGSERIAL PRIMARY KEY,
    call TEXT NOT NULL,
    part BIGINT NOT NULL,
    run TEXT NOT NULL,
    agent TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    arguments JSON NOT NULL,
    reason TEXT NOT NULL,
    asked FLOAT NOT NULL,
    verdict TEXT,
    note TEXT NOT NULL DEFAULT '',
    decided FLOAT,
    CONSTRAINT inbox_once UNIQUE (call, part)
);
CREATE INDEX inbox_open ON inbox (verdict, run);
CREATE TABLE audit (
    id BIGSERIAL PRIMARY KEY,
    call TEXT NOT NULL,
    part BIGINT NOT NULL,
    kind TEXT NOT NULL,
    run TEXT NOT NULL,
    agent TEXT NOT NULL,
    text TEXT NOT NULL,
    detail TEXT NOT NULL,
    seconds FLOAT,
    at FLOAT NOT NULL,
    CONSTRAINT audit_once UNIQUE (call, part, kind)
);
CREATE INDEX audit_by_run ON audit (run, id);
CREATE TABLE mail (
    key TEXT PRIMARY KEY,
    agent TEXT NOT NULL,
    sender TEXT NOT NULL,
    text TEXT NOT NULL,
    due FLOAT NOT NULL,
    run TEXT
);
CREATE INDEX mail_by_due ON mail (run, due);
CREATE TABLE schedules (
    agent TEXT,
    trigger TEXT,
    last FLOAT NOT NULL,
    PRIMARY KEY (agent, trigger)
);
CREATE TABLE jobs (
    run TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    plan JSON NOT NULL,
    documents BIGINT
);
CREATE TABLE job_documents (
    job TEXT REFERENCES jobs (run) ON DELETE CASCADE,
    number BIGINT,
    source TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    tries BIGINT NOT NULL DEFAULT 0,
    digest TEXT,
    value JSON,
    spans JSON NOT NULL DEFAULT '{{}}',
    confidence JSON NOT NULL DEFAULT '{{}}',
    error TEXT,
    cached BOOLEAN NOT NULL DEFAULT false,
    PRIMARY KEY (job, number)
);
CREATE INDEX job_documents_by_source ON job_documents (job, source);
CREATE INDEX job_documents_by_state ON job_documents (job, state, number);
CREATE TABLE extractions (
    key TEXT PRIMARY KEY,
    value JSON NOT NULL,
    confidence JSON NOT NULL,
    at FLOAT NOT NULL
);
CREATE TABLE corrections (
    job TEXT,
    number BIGINT,
    pointer TEXT,
    value JSON NOT NULL,
    span JSON,
    at FLOAT NOT NULL,
    PRIMARY KEY (job, number, pointer),
    FOREIGN KEY (job, number) REFERENCES job_documents (job, number) ON DELETE CASCADE
);
"""


def begin(connection: Connection) -> str:
    """Make it; the revision that it is."""
    for statement in (_WORDS, TABLES.replace(" TEXT", ' TEXT COLLATE "C"'), *_triggers()):
        connection.exec_driver_sql(statement.replace("%", "%%"))  # which the driver reads
    return REVISION


def _parted() -> tuple[str, str]:
    """The characters that are others in `facts.words`, and what each becomes."""
    marked = {}
    for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00)):
        letter = unicodedata.normalize("NFD", chr(code))[0]
        if letter != chr(code):
            marked[chr(code)] = letter
    parting = {
        chr(code): " "
        for code in (*range(0x20, 0xC0), 0xD7, 0xF7, *range(0x2010, 0x2070))
        if not chr(code).isalnum()
    }
    table = marked | parting
    return "".join(table), "".join(table.values())


_FROM, _TO = _parted()
_KINDS = "asciiword, word, numword, int, uint, float, sfloat, version"

# `SET search_path`: a copy that is read back has no other way to find the configuration.
_WORDS = f"""
CREATE TEXT SEARCH DICTIONARY gesso_porter (TEMPLATE = snowball, LANGUAGE = porter);
CREATE TEXT SEARCH CONFIGURATION gesso (PARSER = "default");
ALTER TEXT SEARCH CONFIGURATION gesso ADD MAPPING FOR {_KINDS} WITH gesso_porter;
CREATE FUNCTION gesso_parted(said text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    AS $parted$ SELECT translate(said, '{_FROM.replace("'", "''")}', '{_TO}') $parted$;
CREATE FUNCTION gesso_words(said text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SET search_path FROM CURRENT
    AS $words$ SELECT to_tsvector('gesso', gesso_parted(said)) $words$;
CREATE FUNCTION gesso_length(words tsvector) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
    AS $length$ SELECT coalesce(sum(cardinality(positions)), 0) FROM unnest(words) $length$;
"""


def _triggers() -> list[str]:
    """The logs that are only added to, and the sums of the ledger."""
    only_added_to = [
        f"""
        CREATE FUNCTION {table}_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'the {name} is only added to'; END $$;
        CREATE TRIGGER {table}_only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION {table}_only_added_to();
        """
        for table, name in (("audit", "audit log"), ("ledger", "ledger"))
    ]
    buckets = " ".join(f"WHEN NEW.prompt_tokens > {edge} THEN {edge}" for edge in reversed(EDGES))
    more = ", ".join(f"{name} = spends.{name} + excluded.{name}" for name in SUMS)
    sums = f"""
        CREATE FUNCTION ledger_spends() RETURNS trigger LANGUAGE plpgsql
        SET search_path FROM CURRENT AS $$
        BEGIN
            INSERT INTO spends (start, agent, job, model, device, prompt_bucket, {", ".join(SUMS)})
            VALUES (
                floor(NEW.at / 900)::bigint * 900, NEW.agent,
                coalesce((SELECT jobs.run FROM jobs WHERE jobs.run = NEW.run), ''),
                NEW.model, NEW.device, CASE {buckets} ELSE 0 END, {", ".join(SUMS.values())})
            ON CONFLICT (start, agent, job, model, device, prompt_bucket) DO UPDATE SET {more};
            RETURN NULL;
        END $$;
        CREATE TRIGGER ledger_spends AFTER INSERT ON ledger
        FOR EACH ROW EXECUTE FUNCTION ledger_spends();
    """
    return [*only_added_to, sums]
