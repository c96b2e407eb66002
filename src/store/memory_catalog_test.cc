#include "store/memory_catalog.h"

#include "store/catalog_contract.h"

namespace ingot::store {

INSTANTIATE_TEST_SUITE_P(Memory, CatalogContract,
                         testing::Values(CatalogFactory([] { return std::make_unique<MemoryCatalog>(); })));

}  // namespace ingot::store
