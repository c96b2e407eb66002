#include "definition/reader.h"

#include "definition/yaml.h"

namespace ingot::definition {

Reader::Inside::Inside(Reader& reader, std::string_view key, Position at)
    : reader_(reader), path_length_(reader.path_.size()), current_(reader.current_) {
  if (path_length_ > 0) reader_.path_ += '.';
  // A hostile key may be a megabyte; its path is only for people.
  reader_.path_ += key.substr(0, 128);
  Record(at);
}

Reader::Inside::Inside(Reader& reader, size_t index, Position at)
    : reader_(reader), path_length_(reader.path_.size()), current_(reader.current_) {
  reader_.path_ += '[' + std::to_string(index) + ']';
  Record(at);
}

void Reader::Inside::Record(Position at) {
  reader_.current_ = reader_.written_.size();
  reader_.written_.push_back({reader_.path_, at, ""});
}

Reader::Inside::~Inside() {
  reader_.path_.resize(path_length_);
  reader_.current_ = current_;
}

std::optional<Reader::Scalar> Reader::Text(const Node& node, std::string_view what) {
  if (node.kind != Node::Kind::kScalar) {
    Expected(node, what);
    return std::nullopt;
  }
  Result<std::string> text = Expand(node.text, variables_);
  if (!text) {
    Fail(node, text.error().message());
    return std::nullopt;
  }
  const bool replaced = *text != node.text;
  if (replaced) expanded_bytes_ += text->size();
  if (expanded_bytes_ > 4 * kMaxDefinitionBytes) {
    Fail(node, "the variables of the definition expand to more than 4 MiB");
    return std::nullopt;
  }
  if (current_ != kNothing) written_[current_].text = *text;
  return Scalar{*std::move(text), replaced || !node.quoted};
}

bool Reader::Expected(const Node& node, std::string_view what) {
  std::string message = "expected " + std::string(what) + ", not ";
  switch (node.kind) {
    case Node::Kind::kNull:
      message += "nothing";
      break;
    case Node::Kind::kScalar:
      message += Quoted(node.text);
      break;
    case Node::Kind::kSequence:
      message += "a list";
      break;
    case Node::Kind::kMapping:
      message += "a mapping";
      break;
  }
  return Fail(node, message);
}

bool Reader::Fail(const std::string& message) {
  return Fail(current_ == kNothing ? Position{1, 1} : written_[current_].at, message);
}

bool Reader::Fail(Position at, const std::string& message) {
  problems_.Add(at, path_.empty() ? message : path_ + ": " + message);
  return false;
}

}  // namespace ingot::definition
