// The schema of state.db, shared by the rollout journal and the audit record (docs/formats/rollout.md,
// docs/formats/events.md), subscribers and jobs (docs/formats/jobs.md). Version = number of steps.
#pragma once

#include <string>
#include <vector>

namespace ingot::adapters {

inline const std::vector<std::string>& StateSchema() {
  static const std::vector<std::string> steps = {R"(
    CREATE TABLE environments (
      environment TEXT PRIMARY KEY,
      step INTEGER NOT NULL,
      state TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE revisions (
      environment TEXT NOT NULL,
      number INTEGER NOT NULL,
      document TEXT NOT NULL,
      PRIMARY KEY (environment, number)
    ) WITHOUT ROWID;
    CREATE TABLE rollouts (
      environment TEXT NOT NULL,
      id INTEGER NOT NULL,
      document TEXT NOT NULL,
      PRIMARY KEY (environment, id)
    ) WITHOUT ROWID;
    CREATE TABLE events (
      sequence INTEGER PRIMARY KEY,
      environment TEXT NOT NULL,
      key TEXT,
      document TEXT NOT NULL,
      hash TEXT NOT NULL
    );
    CREATE UNIQUE INDEX events_by_key ON events (environment, key) WHERE key IS NOT NULL;
    CREATE INDEX events_by_environment ON events (environment, sequence);
  )",
                                                 R"(
    CREATE TABLE subscribers (
      environment TEXT NOT NULL,
      id TEXT NOT NULL,
      document TEXT NOT NULL,
      delivered INTEGER NOT NULL,
      PRIMARY KEY (environment, id)
    ) WITHOUT ROWID;
  )",
                                                 R"(
    CREATE TABLE jobs (
      environment TEXT PRIMARY KEY,
      state TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE runs (
      environment TEXT NOT NULL,
      id INTEGER NOT NULL,
      job TEXT NOT NULL,
      open INTEGER NOT NULL,
      document TEXT NOT NULL,
      PRIMARY KEY (environment, id)
    ) WITHOUT ROWID;
    CREATE INDEX runs_by_job ON runs (environment, job, open, id);
  )"};
  return steps;
}

}  // namespace ingot::adapters
