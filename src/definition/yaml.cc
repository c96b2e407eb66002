#include "definition/yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <istream>
#include <map>
#include <set>
#include <streambuf>
#include <string>

#include "base/utf8.h"

namespace ingot::definition {

namespace {

struct Stop {};  // ends yaml-cpp's parsing; a problem says why

Position At(const YAML::Mark& mark) {
  return {mark.line + 1, mark.column + 1};
}

class Builder final : public YAML::EventHandler {
 public:
  Builder(Document& document, Problems& problems) : document_(document), problems_(problems) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (document_.root != nullptr) Refuse(At(mark), "a second YAML document; expected one per file");
  }
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark&, const std::string&) override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(Make(mark, Node::Kind::kNull), anchor, 1);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckTag(mark, tag);
    if (value.find('\0') != std::string::npos) Refuse(At(mark), "a NUL character; text cannot hold one");
    if (ExpectsKey()) {
      open_.back().key = value;
      open_.back().key_at = At(mark);
      open_.back().has_key = true;
      return;
    }
    Node& node = Make(mark, Node::Kind::kScalar);
    node.text = value;
    node.quoted = tag != "?" && !tag.empty();
    Add(node, anchor, 1);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    // yaml-cpp knows the anchor, so it is one that is still open: *a within &a.
    if (found == anchors_.end()) Refuse(At(mark), "an alias inside the value it stands for");
    if (ExpectsKey()) Refuse(At(mark), "an alias as a key; write the key itself");
    Count(At(mark), found->second.weight);
    Attach(*found->second.node);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Node::Kind::kSequence);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Node::Kind::kMapping);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapEnd() override { Close(); }

 private:
  struct Frame {
    Node* node;
    YAML::anchor_t anchor;
    size_t count_before;  // nodes counted before it, to know its weight
    std::string key;
    Position key_at;
    bool has_key = false;
    std::map<std::string, Position, std::less<>> keys;
  };
  struct Anchored {
    const Node* node;
    size_t weight;  // nodes in its full expansion
  };

  [[noreturn]] void Refuse(Position at, std::string message) {
    problems_.Add(at, std::move(message));
    throw Stop{};
  }

  void Count(Position at, size_t nodes) {
    count_ += nodes;
    if (count_ > kMaxDefinitionNodes)
      Refuse(at, "more than " + std::to_string(kMaxDefinitionNodes) + " values, aliases included");
  }

  // Tags change types behind the reader's back; only the text tag, which changes none, is let through.
  void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!" && tag != "tag:yaml.org,2002:str")
      Refuse(At(mark), "the YAML tag " + Quoted(tag) + "; expected a plain value");
  }

  bool ExpectsKey() const {
    return !open_.empty() && open_.back().node->kind == Node::Kind::kMapping && !open_.back().has_key;
  }

  Node& Make(const YAML::Mark& mark, Node::Kind kind) {
    if (ExpectsKey()) Refuse(At(mark), "a key that is not plain text");
    Count(At(mark), 1);
    Node& node = document_.nodes.emplace_back();
    node.kind = kind;
    node.at = At(mark);
    return node;
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Node::Kind kind) {
    CheckTag(mark, tag);
    if (open_.size() == kMaxDefinitionDepth)
      Refuse(At(mark), "nested more than " + std::to_string(kMaxDefinitionDepth) + " levels deep");
    const size_t before = count_;
    Frame frame{&Make(mark, kind), anchor, before, "", {}, false, {}};
    open_.push_back(std::move(frame));
  }

  void Close() {
    const Frame frame = std::move(open_.back());
    open_.pop_back();
    Add(*frame.node, frame.anchor, count_ - frame.count_before);
  }

  void Add(const Node& node, YAML::anchor_t anchor, size_t weight) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = {&node, weight};
    Attach(node);
  }

  void Attach(const Node& node) {
    if (open_.empty()) {
      document_.root = &node;
      return;
    }
    Frame& parent = open_.back();
    if (parent.node->kind == Node::Kind::kSequence) {
      parent.node->items.push_back(&node);
      return;
    }
    parent.has_key = false;
    const auto [first, is_new] = parent.keys.emplace(parent.key, parent.key_at);
    if (is_new) {
      parent.node->entries.push_back({parent.key, parent.key_at, &node});
    } else {
      problems_.Add(parent.key_at, "duplicate key " + Quoted(parent.key) + "; first written in line " +
                                       std::to_string(first->second.line));
    }
  }

  Document& document_;
  Problems& problems_;
  std::vector<Frame> open_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  size_t count_ = 0;
};

// yaml-cpp takes a stream; this one reads in place.
class ViewBuffer final : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view bytes) {
    char* begin = const_cast<char*>(bytes.data());  // the get area is only read
    setg(begin, begin, begin + bytes.size());
  }
};

// YAML is text: UTF-8 without control characters. (yaml-cpp would guess at other encodings and take some
// control characters for the end of the file.)
bool IsText(std::string_view bytes, Problems& problems) {
  Position at{1, 1};
  for (size_t i = 0; i < bytes.size();) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    const size_t length = Utf8Length(bytes.substr(i));
    if (length == 0) {
      problems.Add(at, "not UTF-8");
      return false;
    }
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) {
      problems.Add(at, "a control character (" + Quoted(bytes.substr(i, 1)) + "); expected text");
      return false;
    }
    at = c == '\n' ? Position{at.line + 1, 1} : Position{at.line, at.column + 1};
    i += length;
  }
  return true;
}

}  // namespace

std::optional<Document> ReadYaml(std::string_view bytes, Problems& problems) {
  if (bytes.size() > kMaxDefinitionBytes) {
    problems.Add({}, "larger than " + std::to_string(kMaxDefinitionBytes >> 20) + " MiB");
    return std::nullopt;
  }
  if (!IsText(bytes, problems)) return std::nullopt;
  Document document;
  try {
    ViewBuffer buffer(bytes);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    Builder builder(document, problems);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop&) {
    return std::nullopt;
  } catch (const YAML::Exception& e) {
    problems.Add(e.mark.is_null() ? Position{} : At(e.mark), "not valid YAML: " + e.msg);
    return std::nullopt;
  } catch (const std::exception& e) {  // yaml-cpp lets some of the standard library's through
    problems.Add({}, std::string("not valid YAML: ") + e.what());
    return std::nullopt;
  }
  if (document.root == nullptr) {
    problems.Add({1, 1}, "nothing in it; expected version: 1");
    return std::nullopt;
  }
  return document;
}

}  // namespace ingot::definition
