// The catalog in store.db. Its schema: docs/formats/store.md.
#pragma once

#include <memory>

#include "base/file.h"
#include "base/sync.h"
#include "store/catalog.h"

namespace ingot::adapters {

class SqliteCatalog final : public store::Catalog {
 public:
  // Opens the database, making or migrating it. kUnsupported when a newer version of Ingot wrote it; the
  // codes of sqlite.h.
  static Result<std::unique_ptr<SqliteCatalog>> Open(const fs::path& path);
  ~SqliteCatalog() override;
  Result<void> Read(const std::function<Result<void>(const store::CatalogRows&)>& read) override;
  Result<void> Write(const std::function<Result<void>(store::CatalogRows&)>& write,
                     Durability durability = Durability::kDurable) override;
  Result<void> WriteTogether(const std::function<Result<void>(store::CatalogRows&)>& write) override;

 private:
  struct State;
  explicit SqliteCatalog(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace ingot::adapters
