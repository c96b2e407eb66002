// What the sources of a COPY or ADD come down to: files, folders and links, told by what ends up in the
// layer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "build/context.h"
#include "store/tree.h"

namespace ingot::build {

struct SelectedItem {
  std::string path;  // below the source; "" is the source itself
  // Owner root, mode as decided by the rules below. A folder that only has to be there is `implied`.
  store::Node node;
  std::string context_path;  // a file of the context, to be put into the pool; empty: it is in the pool
  int hard_link = -1;        // items with the same number (≥ 0) are names of one inode
};

struct SelectedSource {
  std::string name;  // its last component, for a destination that is a folder
  bool directory = false;
  std::vector<SelectedItem> items;  // canonical order, itself first
};
using Selection = std::vector<SelectedSource>;

// From the context. Files are measured, not yet put into the pool. What version control and a umask decide
// differently must not differ in an image, so only the owner's x bit counts: files are 0755 with it and 0644
// without, folders 0755 where they are new, and the time is `mtime_s`. A link named as a source is followed
// within the context, links below a folder are kept. kInvalid: a source that is not there (the message says
// if .dockerignore hides it), a socket or device among what is selected.
Result<Selection> SelectFromContext(Context& context, const std::vector<std::string>& sources,
                                    int64_t mtime_s);

// From another root file system (COPY --from): mode, times and attributes are kept, the owner becomes root.
// `shown` names it in messages.
Result<Selection> SelectFromTree(const store::Tree& tree, const std::vector<std::string>& sources,
                                 std::string_view shown);

// SHA-256 (hexadecimal) of everything in it that can make a difference to a layer.
std::string SelectionKey(const Selection& selection);

}  // namespace ingot::build
