// The keys of a secret store: how it is opened, what it takes over, and another key.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/password.h"
#include "secrets/sealed_file.h"
#include "secrets/secret_store.h"

namespace ingot::secrets {

namespace {

constexpr size_t kNamesKeyBytes = 32;
constexpr size_t kMostKeyFileBytes = 65'536;
// A rotation that cannot end leaves the old key; no endless number of them.
constexpr size_t kMostWaitingKeys = 8;
constexpr const char* kNamesFile = "names.sealed";
// What it is sealed for; no secret can be called so.
constexpr const char* kNamesName = "names";
// What versions were named by in former versions of Ingot, not sealed.
constexpr const char* kPlainNamesFile = "key";

Result<bool> IsThere(const fs::path& path) {
  struct stat st {};
  if (::lstat(path.c_str(), &st) == 0) return S_ISREG(st.st_mode);
  if (errno == ENOENT) return false;
  return ErrnoError(errno, "look at " + path.string());
}

bool IsVersion(std::string_view text) {
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<void> Unlink(const fs::path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError(errno, "remove " + path.string());
  return SyncDirectory(path.parent_path());
}

}  // namespace

Result<std::unique_ptr<SecretStore>> SecretStore::Open(Options options, const Clock& clock) {
  TRY(MakeDirectories(options.directory, 0700));
  std::unique_ptr<SecretStore> store(new SecretStore(std::move(options), clock));
  TRY(SweepAtomicWrites(store->options_.directory));
  TRY(store->LoadKeys());
  TRY(store->LoadNamesKey());
  TRY(store->TakeOver());
  // A rotation that was cut off, or keys that the administrator has put before the others.
  std::vector<std::string> unopened;
  TRY(store->SealAnew(unopened));
  store->problems_.insert(store->problems_.end(), unopened.begin(), unopened.end());
  if (unopened.empty()) {
    TRY(store->ForgetOldKeys());
    if (store->Ring()->size() > 1)
      store->problems_.push_back("every secret is sealed by the first key of " +
                                 store->options_.key_file.string() + ": the others can be removed from it");
  }
  return store;
}

Result<void> SecretStore::LoadKeys() {
  const fs::path& file = options_.key_file;
  TRY(SweepAtomicWrites(file.parent_path()));
  auto text = ReadFile(file, kMostKeyFileBytes);
  if (!text && text.error().code() == Code::kNotFound) {
    if (options_.key_is_given)
      return Error(Code::kNotFound,
                   "there is no " + file.string() +
                       ", which is to hold the key of the secrets; `openssl rand -hex 32` makes one");
    // Another key would open nothing of what there is.
    if (TRY(IsThere(options_.directory / kNamesFile)))
      return Error(Code::kNotFound, file.string() + ", the key of the secrets in " +
                                        options_.directory.string() +
                                        ", is not there; bring it back, or remove " +
                                        options_.directory.string() + " and set every secret anew");
    const KeyRing made = KeyRing::Make();
    TRY(MakeDirectories(file.parent_path(), 0711));
    TRY(WriteFileAtomic(file, made.Render().text(), 0600));
    *ring_.lock() = std::make_shared<const KeyRing>(made);
    return {};
  }
  if (!text) return std::move(text).error();
  const SecretText keys(std::move(*text));
  struct stat st {};
  if (::stat(file.c_str(), &st) != 0) return ErrnoError(errno, "look at " + file.string());
  if ((st.st_mode & 077) != 0)
    return Error(Code::kPermission,
                 "others than its owner may read or write " + file.string() +
                     ", the key of the secrets; `chmod 600` it, and think of whether they did");
  auto ring = KeyRing::Parse(keys.text());
  if (!ring) return Error(Code::kInvalid, file.string() + ", " + ring.error().message());
  *ring_.lock() = std::make_shared<const KeyRing>(std::move(*ring));
  return {};
}

Result<void> SecretStore::LoadNamesKey() {
  const File sealed{options_.directory / kNamesFile, kNamesName};
  if (TRY(IsThere(sealed.path))) {
    auto opened = OpenOne(sealed);
    if (!opened)
      return Error(opened.error().code(), "the secrets in " + options_.directory.string() +
                                              " do not open with the key in " + options_.key_file.string() +
                                              ": " + opened.error().message() +
                                              "; bring back the key that they were sealed by");
    names_key_ = std::move(*opened);
  } else {
    const fs::path plain = options_.directory / kPlainNamesFile;
    names_key_ = TRY(IsThere(plain)) ? SecretText(TRY(ReadFile(plain, 4096)))
                                     : SecretText(RandomBytes(kNamesKeyBytes));
    if (names_key_.text().size() != kNamesKeyBytes)
      return Error(Code::kCorrupt, plain.string() + " is not a key of 32 bytes");
    SealedAbout about;
    about.set = clock_.Now();
    TRY(WriteFileAtomic(sealed.path,
                        TRY(RenderSealed(Ring()->current(), sealed.name, about, names_key_.text())), 0600));
  }
  if (names_key_.text().size() != kNamesKeyBytes)
    return Error(Code::kCorrupt, sealed.path.string() + " is not a key of 32 bytes");
  return {};
}

// Former versions kept a version's bytes as they are, in a file of its name, and the naming key beside them.
Result<void> SecretStore::TakeOver() {
  const fs::path plain_key = options_.directory / kPlainNamesFile;
  for (const platform::EnvironmentId& environment : TRY(Environments()))
    for (const std::string& name : TRY(Names(environment))) TRY(TakeOverSecret(environment, name));
  // Last: while it is there, there may be more to be taken over.
  if (TRY(IsThere(plain_key))) TRY(Unlink(plain_key));
  return {};
}

Result<void> SecretStore::TakeOverSecret(const platform::EnvironmentId& environment,
                                         const std::string& name) {
  const fs::path folder = Folder(environment, name);
  TRY(SweepAtomicWrites(folder));
  struct Plain {
    std::string version;
    fs::file_time_type written;
  };
  std::vector<Plain> plain;
  for (const std::string& entry : TRY(ListDirectory(folder))) {
    if (!IsVersion(entry)) continue;
    std::error_code ec;
    plain.push_back({entry, fs::last_write_time(folder / entry, ec)});
    if (ec) return ErrnoError(ec.value(), "look at " + (folder / entry).string());
  }
  if (plain.empty()) return {};
  std::sort(plain.begin(), plain.end(), [](const Plain& a, const Plain& b) { return a.written < b.written; });
  // Behind those of a take-over that was cut off.
  const Secret before = TRY(Look(environment, name, false));
  uint64_t order = before.versions.empty() ? 0 : before.versions.front().order;
  for (const Plain& one : plain) {
    const fs::path path = folder / one.version;
    const SecretText bytes(TRY(ReadFile(path, kMostSealedBytes)));
    if (VersionOf(bytes.text()) != one.version) {
      problems_.push_back(path.string() +
                          " is damaged: its bytes are not those of its version; it stays as it is");
      continue;
    }
    SealedAbout about;
    about.order = ++order;
    about.set = std::chrono::time_point_cast<Milliseconds>(std::chrono::file_clock::to_sys(one.written));
    const File file = FileOf(folder, environment, name, one.version);
    TRY(WriteFileAtomic(file.path, TRY(RenderSealed(Ring()->current(), file.name, about, bytes.text())),
                        0600));
    TRY(Unlink(path));
  }
  return {};
}

Result<std::vector<SecretStore::File>> SecretStore::Files() const {
  std::vector<File> out{{options_.directory / kNamesFile, kNamesName}};
  for (const platform::EnvironmentId& environment : TRY(Environments()))
    for (const std::string& name : TRY(Names(environment))) {
      const fs::path folder = Folder(environment, name);
      auto entries = ListDirectory(folder);
      if (!entries && entries.error().code() == Code::kNotFound) continue;  // its last version was removed
      for (const std::string& entry : TRY(std::move(entries)))
        if (entry.ends_with(".sealed") && IsVersion(entry.substr(0, entry.size() - 7)))
          out.push_back(FileOf(folder, environment, name, entry.substr(0, entry.size() - 7)));
    }
  return out;
}

Result<size_t> SecretStore::SealAnew(std::vector<std::string>& unopened) {
  const auto ring = Ring();
  const Key& current = ring->current();
  size_t sealed = 0;
  for (const File& file : TRY(Files())) {
    const auto writing = writing_.lock();
    auto read = ReadFile(file.path, kMostSealedBytes);
    if (!read && read.error().code() == Code::kNotFound) continue;  // removed meanwhile
    if (!read) {
      unopened.push_back(read.error().Render());
      continue;
    }
    const std::string& bytes = *read;
    const auto about = ReadSealedAbout(bytes);
    if (about && about->key == current.id) continue;
    auto opened = OpenSealedFile(*ring, file.name, bytes);
    if (!opened) {
      unopened.push_back(file.path.string() + " cannot be opened: " + opened.error().message());
      continue;
    }
    TRY(WriteFileAtomic(file.path, TRY(RenderSealed(current, file.name, *about, opened->text())), 0600));
    ++sealed;
  }
  return sealed;
}

Result<void> SecretStore::ForgetOldKeys() {
  const auto ring = Ring();
  if (ring->size() == 1 || options_.key_is_given) return {};
  auto alone = std::make_shared<const KeyRing>(ring->CurrentAlone());
  TRY(WriteFileAtomic(options_.key_file, alone->Render().text(), 0600));
  *ring_.lock() = std::move(alone);
  return {};
}

Result<SecretStore::Rotated> SecretStore::RotateKey() {
  if (options_.key_is_given)
    return Error(
        Code::kRefused,
        "the key of the secrets is given by " + options_.key_file.string() +
            ", which Ingot does not write: put a new line of `openssl rand -hex 32` in front of the others "
            "there and start the daemon again; it seals everything by the first and says when the others "
            "may go");
  const auto rotating = rotating_.lock();
  if (Ring()->size() >= kMostWaitingKeys)
    return Error(Code::kCorrupt, options_.key_file.string() + " has " + std::to_string(Ring()->size()) +
                                     " keys, because something does not open that they may be for; "
                                     "`ingot secret ls` shows what");
  auto both = std::make_shared<const KeyRing>(Ring()->WithNew());
  // Before anything is sealed by it.
  TRY(WriteFileAtomic(options_.key_file, both->Render().text(), 0600));
  {
    // What is being sealed by the old key is there before the files are listed.
    const auto writing = writing_.lock();
    *ring_.lock() = both;
  }
  std::vector<std::string> unopened;
  Rotated rotated{both->current().id, TRY(SealAnew(unopened))};
  if (!unopened.empty())
    return Error(Code::kCorrupt, unopened.front() + (unopened.size() > 1 ? " (and others)" : "") +
                                     "; the rest is sealed by the new key, and the old one stays in " +
                                     options_.key_file.string() + " until this is removed or set anew");
  TRY(ForgetOldKeys());
  return rotated;
}

}  // namespace ingot::secrets
