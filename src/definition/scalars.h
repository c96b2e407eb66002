// Shapes of single values: names, numbers, durations, sizes, paths.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "definition/shape.h"

namespace ingot::definition {

// DNS label (RFC 1123) that begins with a letter, at most 40 characters: projects, services, images …
bool IsName(std::string_view text);
// As a shell variable.
bool IsVariableName(std::string_view text);
// A file name of letters, digits, "_", "-" and ".", at most 64 characters, that begins with a letter or
// digit.
bool IsSecretName(std::string_view text);
// Absolute, without "//", "/./", "/../" or a slash at the end ("/" itself is one).
bool IsAbsolutePath(std::string_view text);
bool IsHostName(std::string_view text);
// Begins with "/", printable ASCII without a space.
bool IsHttpPath(std::string_view text);
bool IsUser(std::string_view text);
bool IsEnvironmentKey(std::string_view text);
// "SIGTERM", "SIGRTMIN+3", …
bool IsSignal(std::string_view text);
bool IsCapability(std::string_view text);
// A token of RFC 9110 of at most 64 letters, digits, "-" and "_".
bool IsToken(std::string_view text);
// The name of a token of the API: "ci", "build-1".
bool IsTokenName(std::string_view text);
// "alice", "group:ops", "token:ci", "cert:build-1": who a role may have as a member.
bool IsMember(std::string_view text);

KeyRule Names();
KeyRule VariableNames();
KeyRule EnvironmentKeys();
KeyRule SecretNames();

// Any scalar as text; a number stands for its digits. Not empty.
Shape<std::string> Text(std::string what);
// The same, empty allowed.
Shape<std::string> AnyText();
// Text that `good` accepts. `pattern` says the same as a regular expression, for editors ("" when none can).
Shape<std::string> TextThat(std::string what, std::string pattern, bool (*good)(std::string_view));
Shape<std::string> NameText(std::string what = "a name (lower-case letters, digits and dashes)");
Shape<std::string> AbsolutePath();
Shape<std::string> FilePath(std::string what);  // not empty, relative or absolute
Shape<std::string> HttpPath();
Shape<std::string> HostUrl();  // https://host[:port]
Shape<std::string> Listen();   // canonical form
Shape<std::string> HostName();
Shape<std::string> Cron();
Shape<std::string> ImageReference();
Shape<std::string> Capability();  // without CAP_
Shape<std::string> SignalName();

Shape<int> Integer(int least, int most);
Shape<uint16_t> PortNumber();
Shape<uint32_t> Count(uint32_t least, uint32_t most);
Shape<bool> Truth();
Shape<Milliseconds> Duration(Milliseconds least = Milliseconds(1));  // 0s is refused unless `least` is zero
Shape<uint64_t> Size();                                              // above zero
Shape<uint32_t> Cpus();                                              // "0.5" → 500
Shape<int> Percent();                                                // "5%", 0 to 100
Shape<int> Weight();                                                 // "90%" or 90, 0 to 100
Shape<int64_t> Share();                                              // "0.5%", basis points
Shape<int64_t> Confidence();                                         // "99.9%": 50% to 99.99%, basis points
Shape<Milliseconds> Pause();                                         // a duration, or manual: kUntilAdvance
Shape<WallTime> Moment();  // "2026-12-24" (its first instant), "2026-12-24T18:00Z"; UTC
Shape<std::string> CookieName();
Shape<std::string> HeaderName();
Shape<Bound> ShareBound();     // "< 1%"
Shape<Bound> DurationBound();  // "< 250ms"

// One of a few words.
template <typename E>
Shape<E> Choice(std::vector<std::pair<std::string, E>> words) {
  std::vector<std::string> names;
  for (const auto& word : words) names.push_back(word.first);
  Shape<E> shape;
  shape.what = Enumerate(names, "or");
  shape.read = [words, names, what = shape.what](Reader& reader, const Node& node, E& out) {
    const auto scalar = reader.Text(node, what);
    if (!scalar) return false;
    for (const auto& [name, value] : words) {
      if (name == scalar->text) {
        out = value;
        return true;
      }
    }
    return reader.Fail(
        node, "expected " + what + ", not " + Quoted(scalar->text) + DidYouMean(scalar->text, names));
  };
  shape.schema = [names](SchemaWriter&) -> Json {
    JsonArray choices;
    for (const std::string& name : names) choices.emplace_back(name);
    return JsonObject{{"enum", std::move(choices)}};
  };
  return shape;
}
Shape<std::string> Word(std::vector<std::string> words);

// A program and its arguments, as a list; nothing is split.
Shape<std::vector<std::string>> Words();
// The same, or one text that /bin/sh -c runs.
Shape<std::vector<std::string>> CommandLine();

}  // namespace ingot::definition
