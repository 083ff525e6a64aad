-- SPDX-License-Identifier: GPL-3.0-or-later
-- From user_version 2 to 3: which runs are alive, and what a person says of a plan.

-- of a run that is running: when its sweep was seen alive last (UTC); NULL: by a program that did
-- not say so. sweeper_place: the boot of its host and its PID namespace, in which `sweeper` is a
-- process; '': not known
ALTER TABLE run ADD COLUMN heartbeat TEXT;
ALTER TABLE run ADD COLUMN sweeper_place TEXT NOT NULL DEFAULT '';

-- the words that a person gave with the plan
ALTER TABLE experiment ADD COLUMN note TEXT NOT NULL DEFAULT '';
