// Where Debian packages come from: the host's own apt sources, or the mirrors that INGOT_DEBIAN_MIRROR names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "build/lock_file.h"

namespace ingot::adapters {

// The entries for binary packages of an apt sources file, one per suite. One-line format (*.list) and deb822
// (*.sources); disabled entries and lines that are not understood are left out.
std::vector<build::DebianSource> ParseSourcesList(std::string_view text);
std::vector<build::DebianSource> ParseSourcesDeb822(std::string_view text);

// What of `host` (entries in order) is the archive of `suite`: the suite itself, its -updates and its
// -security. If the host has another release (`host_codename`), its mirrors with the suite put in its place.
// Nothing known: deb.debian.org.
std::vector<build::DebianSource> SourcesFor(const std::string& suite, const std::string& host_codename,
                                            const std::vector<build::DebianSource>& host);

// INGOT_DEBIAN_MIRROR: one or more URLs. One whose path ends in "-security" serves the security suite, any
// other the suite and its updates. kInvalid for what is not an http, https, file or copy URL.
Result<std::vector<build::DebianSource>> SourcesOfMirrors(const std::string& suite, std::string_view mirrors);

// The host's entries, read from `etc_apt` ("/etc/apt").
std::vector<build::DebianSource> ReadHostSources(const fs::path& etc_apt);

}  // namespace ingot::adapters
