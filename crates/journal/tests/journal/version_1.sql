-- One row. `head` is the highest position ever used as far as removed entries go; `probe` is scratch space with which the
-- writer tries a disk that was full.
CREATE TABLE state (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), head INTEGER NOT NULL, probe BLOB) STRICT;

CREATE TABLE devices (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

-- In the order of commits. No index by sequence: what is held is told by boots and gaps.
CREATE TABLE entries (
    position INTEGER PRIMARY KEY,
    device INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    span_us INTEGER NOT NULL,
    uncertainty_us INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    assurance INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX entries_by_time ON entries (device, first_us);

CREATE TABLE boots (
    device INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    used_us INTEGER NOT NULL,
    PRIMARY KEY (device, boot)
) STRICT, WITHOUT ROWID;

-- Ranges that are or were missing. They never overlap. A range filled late stays, with the time it was closed.
CREATE TABLE gaps (
    device INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    noticed_us INTEGER NOT NULL,
    given_up INTEGER NOT NULL,
    closed_us INTEGER,
    PRIMARY KEY (device, boot, first)
) STRICT, WITHOUT ROWID;
CREATE INDEX gaps_by_closing ON gaps (closed_us) WHERE closed_us IS NOT NULL;

-- `skipped_*`: how many entries were removed before a following reader had read them, and the last such range.
CREATE TABLE readers (
    name TEXT PRIMARY KEY NOT NULL,
    holds INTEGER NOT NULL,
    position INTEGER NOT NULL,
    skipped INTEGER NOT NULL DEFAULT 0,
    skipped_first INTEGER NOT NULL DEFAULT 0,
    skipped_last INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO state (only_row, head) VALUES (1, 0);
INSERT INTO devices VALUES (1, 'dev-1');
INSERT INTO entries VALUES (1, 1, 1, 1, 1795000001050000, 1795000001000000, 950000, 2000, 20, 1, x'01');
INSERT INTO entries VALUES (2, 1, 1, 2, 1795000002050000, 1795000002000000, 950000, 2000, 20, 1, x'02');
INSERT INTO entries VALUES (3, 1, 1, 3, 1795000003050000, 1795000003000000, 950000, 2000, 20, 1, x'03');
INSERT INTO entries VALUES (4, 1, 1, 8, 1795000008050000, 1795000008000000, 950000, 2000, 20, 1, x'08');
INSERT INTO entries VALUES (5, 1, 1, 4, 1795000004050000, 1795000004000000, 950000, 2000, 20, 1, x'04');
INSERT INTO boots VALUES (1, 1, 8, 1795000004050000);
INSERT INTO gaps VALUES (1, 1, 4, 4, 1795000008050000, 0, 1795000004050000);
INSERT INTO gaps VALUES (1, 1, 5, 7, 1795000008050000, 0, NULL);
INSERT INTO readers VALUES ('publisher', 1, 3, 0, 0, 0);
INSERT INTO readers VALUES ('live', 0, 1, 7, 0, 7);
UPDATE state SET head = 5;
PRAGMA application_id = 1448561201;
PRAGMA user_version = 1;
