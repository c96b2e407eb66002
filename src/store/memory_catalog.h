// A Catalog in memory, for tests of what uses one. One process only; nothing is kept.
#pragma once

#include <memory>

#include "store/catalog.h"

namespace ingot::store {

class MemoryCatalog final : public Catalog {
 public:
  MemoryCatalog();
  ~MemoryCatalog() override;
  Result<void> Read(const std::function<Result<void>(const CatalogRows&)>& read) override;
  Result<void> Write(const std::function<Result<void>(CatalogRows&)>& write,
                     Durability durability = Durability::kDurable) override;
  Result<void> WriteTogether(const std::function<Result<void>(CatalogRows&)>& write) override {
    return Write(write);
  }

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ingot::store
