#include "adapters/sqlite_catalog.h"

#include <chrono>

#include "adapters/sqlite.h"
#include "store/catalog_contract.h"

namespace ingot::store {

namespace {

// Removes its folder with itself.
class TemporaryCatalog final : public Catalog {
 public:
  Result<void> Read(const std::function<Result<void>(const CatalogRows&)>& read) override {
    return catalog_->Read(read);
  }
  Result<void> Write(const std::function<Result<void>(CatalogRows&)>& write, Durability durability) override {
    return catalog_->Write(write, durability);
  }
  Result<void> WriteTogether(const std::function<Result<void>(CatalogRows&)>& write) override {
    return catalog_->WriteTogether(write);
  }

 private:
  TempDirectory directory_ = *TempDirectory::Make("/tmp/ingot-test", "catalog");
  std::unique_ptr<adapters::SqliteCatalog> catalog_ =
      *adapters::SqliteCatalog::Open(directory_.path() / "store.db");
};

}  // namespace

INSTANTIATE_TEST_SUITE_P(Sqlite, CatalogContract, testing::Values(CatalogFactory([] {
                           return std::make_unique<TemporaryCatalog>();
                         })));

}  // namespace ingot::store

namespace ingot::adapters {
namespace {

TEST(SqliteCatalogTest, RefusesAStoreOfANewerVersion) {
  const TempDirectory directory = *TempDirectory::Make("/tmp/ingot-test", "catalog");
  const fs::path path = directory.path() / "store.db";
  ASSERT_TRUE(SqliteCatalog::Open(path));
  {
    Database db = *Database::Open(path);
    ASSERT_TRUE(db.Execute("PRAGMA user_version=1000"));
  }
  auto opened = SqliteCatalog::Open(path);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kUnsupported);
}

TEST(SqliteCatalogTest, AStoreFromBeforeTheRegistryIsMigrated) {
  const TempDirectory directory = *TempDirectory::Make("/tmp/ingot-test", "catalog");
  const fs::path path = directory.path() / "store.db";
  ASSERT_TRUE(SqliteCatalog::Open(path));
  {
    Database db = *Database::Open(path);
    ASSERT_TRUE(
        db.Execute("DROP TABLE repository_tags; DROP TABLE repository_manifests; "
                   "DROP TABLE repository_blobs; DROP TABLE fixed_tags; DROP TABLE named_images; "
                   "DROP TABLE pulls; DROP TABLE promotions; DROP TABLE proofs; "
                   "DROP TABLE project_retention; DROP TABLE reservations; DROP TABLE disk_usage; "
                   "PRAGMA user_version=1; "
                   "INSERT INTO cache VALUES('k', 'v', '', '', 0)"));
  }
  auto catalog = *SqliteCatalog::Open(path);
  ASSERT_TRUE(catalog->Write([](store::CatalogRows& rows) -> Result<void> {
    EXPECT_TRUE(TRY(rows.FindCache("k")).has_value());
    return rows.PutRepositoryBlob({"web", oci::Digest::Of("x"), 1, WallTime()});
  }));
}

TEST(SqliteCatalogTest, AValueThatIsNoneIsCorrupt) {
  const TempDirectory directory = *TempDirectory::Make("/tmp/ingot-test", "catalog");
  const fs::path path = directory.path() / "store.db";
  auto catalog = *SqliteCatalog::Open(path);
  {
    Database db = *Database::Open(path);
    ASSERT_TRUE(db.Execute("INSERT INTO images VALUES('sha256:no', 1, 0, '', '')"));
  }
  auto read = catalog->Read([](const store::CatalogRows& rows) -> Result<void> {
    TRY(rows.ListImages());
    return {};
  });
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code(), Code::kCorrupt);
}

TEST(SqliteCatalogTest, TwoProcessesSeeEachOthersRows) {
  const TempDirectory directory = *TempDirectory::Make("/tmp/ingot-test", "catalog");
  const fs::path path = directory.path() / "store.db";
  auto first = *SqliteCatalog::Open(path);
  auto second = *SqliteCatalog::Open(path);
  ASSERT_TRUE(first->Write([](store::CatalogRows& rows) {
    return rows.PutCache({"k", "v", {}, WallTime()});
  }));
  ASSERT_TRUE(second->Read([](const store::CatalogRows& rows) -> Result<void> {
    EXPECT_TRUE(TRY(rows.FindCache("k")).has_value());
    return {};
  }));
}

}  // namespace
}  // namespace ingot::adapters
