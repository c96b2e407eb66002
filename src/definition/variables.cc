#include "definition/variables.h"

#include <vector>

#include "definition/problem.h"

namespace ingot::definition {

namespace {

bool StartsName(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool InName(char c) {
  return StartsName(c) || (c >= '0' && c <= '9');
}
size_t NameLength(std::string_view text) {
  if (text.empty() || !StartsName(text[0])) return 0;
  size_t length = 1;
  while (length < text.size() && InName(text[length])) ++length;
  return length;
}

// `inside` is what stands between ${ and }.
Result<std::string> Value(std::string_view inside, const Variables& variables) {
  const std::string whole = "${" + std::string(inside.substr(0, 80)) + "}";
  if (inside.starts_with("git.")) {
    if (inside != "git.sha")
      return Error(Code::kInvalid, "unknown variable " + whole + "; the only one of git is ${git.sha}");
    if (!variables.git_sha)
      return Error(Code::kInvalid,
                   "${git.sha} is undefined: the definition is not in a git work tree with a commit");
    return *variables.git_sha;
  }
  const size_t length = NameLength(inside);
  const std::string name(inside.substr(0, length));
  const std::string_view rest = inside.substr(length);
  const bool has_default = rest.starts_with(":-");
  if (length == 0 || (!rest.empty() && !has_default))
    return Error(Code::kInvalid, Quoted(whole) +
                                     " is not a variable; write ${NAME} or ${NAME:-default}, "
                                     "or $${ for the characters themselves");
  const auto found = variables.environment.find(name);
  if (found != variables.environment.end() && !(has_default && found->second.empty())) return found->second;
  if (has_default) return std::string(rest.substr(2));
  std::vector<std::string> names;
  for (const auto& variable : variables.environment) names.push_back(variable.first);
  return Error(Code::kInvalid, "undefined variable " + name + "; set it, or write ${" + name + ":-default}" +
                                   DidYouMean(name, names));
}

}  // namespace

Result<std::string> Expand(std::string_view text, const Variables& variables) {
  std::string out;
  while (true) {
    const size_t dollar = text.find('$');
    out += text.substr(0, dollar);
    if (dollar == std::string_view::npos) return out;
    text.remove_prefix(dollar + 1);
    if (text.starts_with("$")) {
      out += '$';
      text.remove_prefix(1);
    } else if (text.starts_with("{")) {
      const size_t end = text.find('}');
      if (end == std::string_view::npos)
        return Error(Code::kInvalid, "a ${ without its }; write $${ for the characters themselves");
      out += TRY(Value(text.substr(1, end - 1), variables));
      text.remove_prefix(end + 1);
    } else if (const size_t length = NameLength(text); length > 0) {
      const std::string name(text.substr(0, std::min<size_t>(length, 80)));
      return Error(Code::kInvalid, "$" + name + " is not replaced; write ${" + name + "}, or $$" + name +
                                       " for the characters themselves");
    } else {
      out += '$';
    }
  }
}

}  // namespace ingot::definition
