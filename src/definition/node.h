// The YAML document as a tree of our own: positions, no aliases left to follow blindly, no yaml-cpp.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "definition/definition.h"

namespace ingot::definition {

struct Node;

struct Entry {
  std::string key;
  Position at;  // of the key
  const Node* value = nullptr;
};

struct Node {
  enum class Kind { kNull, kScalar, kSequence, kMapping };
  Kind kind = Kind::kNull;
  Position at;
  std::string text;                // kScalar, as written, without quotes
  bool quoted = false;             // kScalar: in quotes or a block, so always text
  std::vector<const Node*> items;  // kSequence
  std::vector<Entry> entries;      // kMapping, in the order of the file, no key twice
};

// Owns its nodes. An alias is a second pointer to the same node, so this is a graph without cycles whose full
// expansion has a bounded number of nodes.
struct Document {
  std::deque<Node> nodes;
  const Node* root = nullptr;
};

}  // namespace ingot::definition
