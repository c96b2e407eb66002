#include "app/parcel.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "app/build_received.h"
#include "store/memory_catalog.h"
#include "store/sealed_layer.h"

namespace ingot::app {
namespace {

struct ParcelTest : testing::Test {
  void SetUp() override {
    directory = std::make_unique<TempDirectory>(*TempDirectory::Make("/tmp", "ingot-parcel-"));
    auto opened = store::Store::Open(store::StorePaths::Below(directory->path()), catalog, clock);
    ASSERT_TRUE(opened) << opened.error().Render();
    store = std::move(*opened);
    lease.emplace(*store->TakeLease("test"));
  }
  Result<std::map<std::string, store::Tree>> Receive(const std::string& bytes,
                                                     const ParcelLimits& limits = {}, size_t piece = 7) {
    std::string_view left = bytes;
    IncomingParcel parcel(
        [&left, piece](char* to, size_t size) -> Result<size_t> {
          const size_t n = left.copy(to, std::min(size, piece));
          left.remove_prefix(n);
          return n;
        },
        *store, *lease, limits);
    document = TRY(parcel.ReadDocument());
    TRY(parcel.ReadEntries());
    return parcel.trees();
  }
  static Code CodeOf(const Result<std::map<std::string, store::Tree>>& result) {
    return result ? Code::kInternal : result.error().code();
  }
  std::string File(const std::string& name, const std::string& bytes) {
    EXPECT_TRUE(WriteFileAtomic(directory->path() / name, bytes));
    return (directory->path() / name).string();
  }
  static std::string All(const ByteSource& source) {
    std::string out;
    char buffer[5];
    for (auto n = source(buffer, sizeof buffer); n && *n > 0; n = source(buffer, sizeof buffer))
      out.append(buffer, *n);
    return out;
  }

  FakeClock clock;
  store::MemoryCatalog catalog;
  std::unique_ptr<TempDirectory> directory;
  std::unique_ptr<store::Store> store;
  std::optional<store::Lease> lease;
  Json document;
};

TEST_F(ParcelTest, WhatIsSentIsReceived) {
  store::Tree tree;
  const store::ObjectId id = store::ObjectId::Of("contents");
  ASSERT_TRUE(tree.Put("a/b", store::Node::Regular(id, 8, 0755)));
  ASSERT_TRUE(tree.Put("a/empty", store::Node::Regular({}, 0)));
  ASSERT_TRUE(tree.Put("a/link", store::Node::Symlink("/etc/passwd")));
  const std::string file = File("contents", "contents");
  OutgoingParcel parcel(JsonObject{{"x", 1}});
  parcel.AddObject(id, 8, [file] { return OpenFile(file, O_RDONLY); });
  parcel.AddTree("t", *store::RenderSealed(tree));
  const oci::Digest digest = oci::Digest::Of("a blob");
  parcel.AddBlob({"application/x", digest, 6}, [](const ByteSink& sink) { return sink("a blob"); });
  const std::string bytes = All(parcel.Source());
  EXPECT_EQ(bytes.size(), parcel.size_bytes());
  const auto trees = Receive(bytes);
  ASSERT_TRUE(trees) << trees.error().Render();
  EXPECT_EQ(RenderJson(document), "{\"x\":1}");
  EXPECT_EQ(trees->at("t"), tree);
  EXPECT_TRUE(*store->objects().Has(id));
  EXPECT_EQ(*store->GetBlob(digest), "a blob");

  // And laid out: files, whether they may be executed, links as links.
  store::DiskShare share(nullptr);
  const fs::path folder = directory->path() / "project";
  ASSERT_TRUE(LayOut(trees->at("t"), *store, folder, share));
  EXPECT_EQ(*ReadFile(folder / "a/b"), "contents");
  struct stat st {};
  ASSERT_EQ(::stat((folder / "a/b").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0111, 0111u);
  EXPECT_EQ(*ReadFile(folder / "a/empty"), "");
  EXPECT_EQ(fs::read_symlink(folder / "a/link"), "/etc/passwd");
  // Not over what is there.
  EXPECT_FALSE(LayOut(trees->at("t"), *store, folder, share));
}

TEST_F(ParcelTest, NoNameIsBelieved) {
  const std::string right = store::ObjectId::Of("abc").Render();
  EXPECT_TRUE(Receive("{}\nobject " + right + " 3\nabcend\n"));
  EXPECT_EQ(CodeOf(Receive("{}\nobject " + right + " 3\nabdend\n")), Code::kConflict);
  EXPECT_EQ(CodeOf(Receive("{}\nblob " + oci::Digest::Of("abc").Render() + " 3\nabdend\n")), Code::kInvalid);
  EXPECT_FALSE(*store->HasBlob(oci::Digest::Of("abc")));
  EXPECT_EQ(CodeOf(Receive("{}\ntree t 3\nabcend\n")), Code::kInvalid);
}

TEST_F(ParcelTest, WhatIsNoParcelIsRefused) {
  const std::string right = store::ObjectId::Of("abc").Render();
  for (const std::string& bytes :
       {std::string(), std::string("{}"), std::string("{}\n"), std::string("{\n"), std::string("{}\nend"),
        std::string("{}\nend\nmore"), std::string("{}\nobject\nend\n"),
        std::string("{}\nobject x 3\nabcend\n"), "{}\nobject " + right + " -3\nabcend\n",
        "{}\nobject " + right + " 3x\nabcend\n", "{}\nobject " + right + " 4\nabc",
        "{}\nthing " + right + " 3\nabcend\n", "{}\n" + std::string(2000, 'x')})
    EXPECT_EQ(CodeOf(Receive(bytes)), Code::kInvalid) << bytes.substr(0, 100);
  ParcelLimits limits;
  limits.entries = 1;
  const std::string object = "object " + right + " 3\nabc";
  EXPECT_TRUE(Receive("{}\n" + object + "end\n", limits));
  EXPECT_EQ(CodeOf(Receive("{}\n" + object + object + "end\n", limits)), Code::kRefused);
  limits = {};
  limits.tree_bytes = 10;
  EXPECT_EQ(CodeOf(Receive("{}\ntree t 11\n" + std::string(11, 'x') + "end\n", limits)), Code::kRefused);
  EXPECT_EQ(CodeOf(Receive("{}\ntree t 18446744073709551615\nx", limits)), Code::kRefused);
  limits = {};
  limits.bytes = 30;
  EXPECT_EQ(CodeOf(Receive("{}\n" + object + "end\n", limits)), Code::kRefused);
  limits = {};
  limits.document_bytes = 4;
  EXPECT_EQ(CodeOf(Receive("{\"a\":1}\nend\n", limits)), Code::kInvalid);
}

TEST_F(ParcelTest, AFileThatBecameShorterIsAConflict) {
  const std::string file = File("contents", "cont");
  OutgoingParcel parcel(JsonObject{});
  parcel.AddObject(store::ObjectId::Of("contents"), 8, [file] { return OpenFile(file, O_RDONLY); });
  const ByteSource source = parcel.Source();
  char buffer[1000];
  auto n = source(buffer, sizeof buffer);
  while (n && *n > 0) n = source(buffer, sizeof buffer);
  ASSERT_FALSE(n);
  EXPECT_EQ(n.error().code(), Code::kConflict);
}

TEST_F(ParcelTest, ContentsThatAreNotHereAreNotLaidOut) {
  store::Tree tree;
  ASSERT_TRUE(tree.Put("a", store::Node::Regular(store::ObjectId::Of("nowhere"), 7)));
  store::DiskShare share(nullptr);
  EXPECT_EQ(LayOut(tree, *store, directory->path() / "project", share).error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace ingot::app
