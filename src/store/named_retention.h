// Retention of images by the local names they once had: what rules of projects and of the host say of each.
#pragma once

#include <string>
#include <vector>

#include "store/catalog.h"
#include "store/retention.h"

namespace ingot::store {

struct NamedVerdict {
  std::string repository;
  oci::Digest digest;
  bool keep = false;
  std::string reason;
};

// Of all images that a tag of a repository with a rule has named. What a project says (the catalog has it)
// goes before what the host says (`host`).
Result<std::vector<NamedVerdict>> JudgeNamedImages(const CatalogRows& rows,
                                                   const std::vector<RetentionRule>& host, WallTime now);

}  // namespace ingot::store
