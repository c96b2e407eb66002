// Versions of secrets, sealed on the disk: DIRECTORY/PROJECT/ENVIRONMENT/NAME/VERSION.sealed
// (docs/formats/secrets.md). A version's name is a keyed hash of its bytes: it says nothing about them to
// somebody who sees it in a plan, and the same bytes are the same version.
//
// One process has a directory open, the daemon. Any thread; what is durable when a function returns is said
// below. A value is never part of an error.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/sync.h"
#include "platform/fleet.h"
#include "platform/ids.h"
#include "secrets/key_ring.h"

namespace ingot::secrets {

struct SecretVersion {
  std::string version;
  uint64_t order = 0;  // the newest has the greatest
  WallTime set{};
  std::string by;       // empty: not known
  std::string problem;  // why it cannot be opened; empty: it can
};

struct Secret {
  std::string name;
  std::vector<SecretVersion> versions;  // newest first; not empty
};

class SecretStore {
 public:
  struct Options {
    fs::path directory;
    fs::path key_file;
    // The file is the administrator's, and read only: it has to be there, and is never written.
    bool key_is_given = false;
  };

  // Makes directory (0700) and key (0600), once; takes over what a former version of Ingot kept unsealed, and
  // ends what was cut off. kCorrupt, kNotFound: the secrets here were sealed by a key that the file does not
  // have; kInvalid, kPermission: the file is no ring of keys, or others may read it. Single versions that
  // cannot be opened are `problems`.
  static Result<std::unique_ptr<SecretStore>> Open(Options options, const Clock& clock);
  // What whoever runs this should know of, found by Open: a sentence each.
  const std::vector<std::string>& problems() const { return problems_; }

  struct Kept {
    std::string version;
    bool changed = false;  // it was not the newest version before
  };
  // Makes the bytes, at most 1 MiB, the newest version. Durable.
  Result<Kept> Put(const platform::EnvironmentId& environment, const std::string& name,
                   std::string_view bytes, const std::string& by);
  // kNotFound; kCorrupt when it cannot be opened, or its bytes are not those of the version.
  Result<std::string> Get(const platform::EnvironmentId& environment, const platform::SecretRef& ref) const;
  // Of the newest version, which can be opened. kNotFound: there is none. kCorrupt: it cannot be said.
  Result<std::string> Newest(const platform::EnvironmentId& environment, const std::string& name) const;
  // kNotFound naming those that are not there. Looks at names alone.
  Result<void> Require(const platform::EnvironmentId& environment,
                       const std::vector<platform::SecretRef>& refs) const;
  // Those that have a version, by name.
  Result<std::vector<Secret>> List(const platform::EnvironmentId& environment) const;
  Result<std::vector<platform::EnvironmentId>> Environments() const;
  // kNotFound. Durable.
  Result<void> Remove(const platform::EnvironmentId& environment, const platform::SecretRef& ref);

  struct Rotated {
    std::string key;  // id of the new one
    size_t sealed = 0;
  };
  // Makes a new key and seals everything by it; then the old one is forgotten. Killed anywhere, the next Open
  // ends it. kRefused: the key file is the administrator's. kCorrupt: something does not open, and the old
  // key stays in the file for it.
  Result<Rotated> RotateKey();

 private:
  struct File {
    fs::path path;
    std::string name;  // what it is sealed for
  };
  SecretStore(Options options, const Clock& clock) : options_(std::move(options)), clock_(clock) {}
  Result<void> LoadKeys();
  Result<void> LoadNamesKey();
  Result<void> TakeOver();
  Result<void> TakeOverSecret(const platform::EnvironmentId& environment, const std::string& name);
  // Seals by the current key what others sealed; how many. Never stops at one that does not open: these are
  // added to `unopened`.
  Result<size_t> SealAnew(std::vector<std::string>& unopened);
  Result<void> ForgetOldKeys();
  Result<std::vector<File>> Files() const;
  // Folders that may be secrets' of the environment.
  Result<std::vector<std::string>> Names(const platform::EnvironmentId& environment) const;

  fs::path Folder(const platform::EnvironmentId& environment, const std::string& name) const;
  static File FileOf(const fs::path& folder, const platform::EnvironmentId& environment,
                     const std::string& name, const std::string& version);
  std::shared_ptr<const KeyRing> Ring() const;
  Result<SecretText> OpenOne(const File& file) const;
  Result<Secret> Look(const platform::EnvironmentId& environment, const std::string& name, bool open) const;
  std::string VersionOf(std::string_view bytes) const;

  const Options options_;
  const Clock& clock_;
  SecretText names_key_;  // what versions are named by; never another one
  // Shared: who opens a file goes on with the ring that it began with.
  mutable Sync<std::shared_ptr<const KeyRing>> ring_;
  Sync<bool> writing_;   // held by whoever writes a file, for no longer: others wait for it
  Sync<bool> rotating_;  // held by a rotation, around the other one
  std::vector<std::string> problems_;
};

}  // namespace ingot::secrets
