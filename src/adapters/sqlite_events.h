// The audit record in state.db.
#pragma once

#include <memory>

#include "audit/sink.h"
#include "base/clock.h"
#include "base/file.h"

namespace ingot::adapters {

class SqliteEvents final : public audit::Sink {
 public:
  // Opens state.db (the journal's too), making or migrating it. `clock` outlives the sink.
  static Result<std::unique_ptr<SqliteEvents>> Open(const fs::path& path, Clock& clock);
  ~SqliteEvents() override;

  Result<void> Append(std::vector<audit::Draft> drafts) override;
  Result<std::vector<audit::Event>> Read(const audit::EventQuery& query) override;
  Result<uint64_t> Last() override;

 private:
  struct Impl;
  explicit SqliteEvents(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ingot::adapters
