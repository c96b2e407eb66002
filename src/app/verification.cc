#include "app/verification.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <sstream>

#include "app/terminal.h"
#include "base/subprocess.h"
#include "base/utf8.h"

extern char** environ;

namespace ingot::app {

namespace {

constexpr Milliseconds kVerifyTimeout{600'000};
constexpr size_t kLastLines = 5;
constexpr size_t kLongestReason = 900;  // the daemon takes 1,000 bytes
constexpr size_t kLongestLine = 160;
constexpr size_t kLongestOutput = 16'384;

// A line of the definition is one for the shell.
bool IsLine(const std::vector<std::string>& words) {
  return words.size() == 3 && words[0] == "/bin/sh" && words[1] == "-c";
}

// As it is written in the definition.
std::string Words(const std::vector<std::string>& words) {
  if (IsLine(words)) return words[2];
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

// A path is one of the project's, wherever we were called from; a name is looked up on PATH.
std::string ProgramOf(const Project& project, const std::string& word) {
  if (word.find('/') == std::string::npos || word.starts_with('/')) return word;
  return (project.directory / word).lexically_normal().string();
}

// What a command begins with, where that can be told; empty: the shell will see.
std::string FirstWord(const std::vector<std::string>& words) {
  if (!IsLine(words)) return words.front();
  const std::string word = words[2].substr(0, words[2].find(' '));
  const auto is_plain = [](unsigned char c) {
    return std::isalnum(c) != 0 || std::strchr("._/-", c) != nullptr;
  };
  const bool is_path = word.find('/') != std::string::npos && std::all_of(word.begin(), word.end(), is_plain);
  return is_path ? word : "";
}

// What is run: a line that means to the shell what it says needs none, and then ends with us when we are
// killed.
std::vector<std::string> ArgvOf(const Project& project, const std::vector<std::string>& words) {
  std::vector<std::string> argv = words;
  const std::string first = FirstWord(words);
  if (IsLine(words)) {
    const auto means_itself = [](unsigned char c) {
      return std::isalnum(c) != 0 || std::strchr(" ._/:@%+,=-", c) != nullptr;
    };
    if (first.empty() || !std::all_of(words[2].begin(), words[2].end(), means_itself)) return argv;
    argv.clear();
    std::istringstream line(words[2]);
    for (std::string word; line >> word;) argv.push_back(word);
  }
  argv.front() = ProgramOf(project, argv.front());
  return argv;
}

std::map<std::string, std::string> EnvironmentFor(const Invocation& invocation, const Project& project,
                                                  uint64_t revision, uint64_t rollout) {
  std::map<std::string, std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (const size_t equals = text.find('='); equals != std::string_view::npos)
      out[std::string(text.substr(0, equals))] = std::string(text.substr(equals + 1));
  }
  out["INGOT_PROJECT"] = project.definition.project;
  out["INGOT_ENVIRONMENT"] = invocation.environment;
  out["INGOT_REVISION"] = std::to_string(revision);
  out["INGOT_ROLLOUT"] = rollout == 0 ? "" : std::to_string(rollout);
  return out;
}

// What a command has said may be anything.
std::string Printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const bool is_shown =
        length > 1 || (length == 1 && (text[0] >= ' ' || text[0] == '\n' || text[0] == '\t'));
    out += is_shown ? std::string(text.substr(0, length)) : "?";
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out;
}

// The head, cut between characters.
std::string Head(std::string text, size_t most) {
  if (text.size() <= most) return text;
  size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

// The last lines, on one line.
std::string LastLines(const std::string& output) {
  std::vector<std::string> lines(1);
  for (const char c : output)
    if (c == '\n')
      lines.emplace_back();
    else
      lines.back() += c;
  std::erase_if(lines,
                [](const std::string& line) { return line.find_first_not_of(" \t\r") == std::string::npos; });
  std::string out;
  for (size_t i = lines.size() - std::min(lines.size(), kLastLines); i < lines.size(); ++i)
    out += (out.empty() ? "" : " | ") + Head(lines[i], kLongestLine);
  return out;
}

int TakeBack(Invocation& invocation, const Project& project, uint64_t revision, const std::string& reason,
             JsonObject& report) {
  DaemonClient client(invocation);
  const std::string name = "r" + std::to_string(revision);
  auto answer = client.Call(
      "POST", EnvironmentPath(project.definition.project, invocation.environment, "/rollback") +
                  "?wait=1&from=" + std::to_string(revision) + "&reason=" + adapters::PercentEncode(reason));
  if (!answer) {
    report["not_taken_back"] = answer.error().Render();
    std::fflush(stdout);
    std::fprintf(stderr, "%s %s; %s serves, and is not verified: %s\n", Paint(Colour::kRed, "error:").c_str(),
                 reason.c_str(), name.c_str(), answer.error().Render().c_str());
    return kFailed;
  }
  const Json* back = answer->is_object() ? answer->get_object().if_contains("rollout") : nullptr;
  const JsonObject none;
  const JsonObject& rollout = back != nullptr && back->is_object() ? back->get_object() : none;
  report["rollback"] = rollout;
  std::fflush(stdout);
  if (StringOr(rollout, "phase", "") == "reverted") {
    std::fprintf(stderr, "%s %s; %s serves still, and is not verified, since the rollback failed: %s\n",
                 Paint(Colour::kRed, "error:").c_str(), reason.c_str(), name.c_str(),
                 StringOr(rollout, "reason", "").c_str());
    return kFailed;
  }
  std::fprintf(stderr, "%s %s\n", Paint(Colour::kRed, "rolled back:").c_str(), reason.c_str());
  std::fprintf(stderr, "r%lld serves again\n", static_cast<long long>(IntOr(rollout, "to", 0)));
  return kReverted;
}

}  // namespace

const std::vector<definition::Verify>& VerifyOf(const Project& project, const std::string& environment) {
  static const std::vector<definition::Verify> none;
  const auto found = project.definition.environments.find(environment);
  return found == project.definition.environments.end() ? none : found->second.verify;
}

Result<void> CheckVerifyCommands(const Project& project, const std::string& environment) {
  const std::vector<definition::Verify>& all = VerifyOf(project, environment);
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string place =
        project.definition.Locate("environments." + environment + ".verify[" + std::to_string(i) + "].run");
    const std::string word = FirstWord(all[i].run);
    if (word.empty()) continue;
    const std::string program = ProgramOf(project, word);
    const bool is_path = program.find('/') != std::string::npos;
    if (is_path && ::access(program.c_str(), X_OK) != 0)
      return Error(Code::kInvalid, place + ": " + program + " is not there, or may not be run");
    if (is_path) continue;
    if (auto found = FindProgram(program); !found)
      return Error(Code::kInvalid, place + ": " + found.error().message());
  }
  return {};
}

Verification RunVerifyCommands(const Invocation& invocation, const Project& project, uint64_t revision,
                               uint64_t rollout) {
  Verification out;
  for (const definition::Verify& verify : VerifyOf(project, invocation.environment)) {
    const std::string text = Words(verify.run);
    Command command;
    command.argv = ArgvOf(project, verify.run);
    command.cwd = project.directory;
    command.env = EnvironmentFor(invocation, project, revision, rollout);
    command.die_with_parent = true;
    const auto begin = std::chrono::steady_clock::now();
    auto done = Run(std::move(command), verify.timeout.value_or(kVerifyTimeout));
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    const std::string said = done ? Printable(done->out + done->err) : "";
    const bool passed = done && done->ok();
    if (!passed) {
      const std::string why = done ? done->Describe() : done.error().Render();
      const std::string last = LastLines(said);
      out.passed = false;
      out.reason =
          Head("verification by " + Printable(text) + " failed: " + why + (last.empty() ? "" : ": " + last),
               kLongestReason);
    }
    out.runs.push_back(JsonObject{
        {"command", text},
        {"passed", passed},
        {"elapsed_ms", static_cast<int64_t>(ms)},
        {"output",
         said.size() > kLongestOutput ? Printable(said.substr(said.size() - kLongestOutput)) : said}});
    if (!invocation.json)
      std::printf(
          "%s %s in %s\n",
          passed ? Paint(Colour::kGreen, "verified:").c_str() : Paint(Colour::kRed, "failed:").c_str(),
          text.c_str(), RenderElapsed(ms).c_str());
    if (!passed) break;
  }
  return out;
}

int VerifyRevision(Invocation& invocation, const Project& project, uint64_t revision, uint64_t rollout,
                   JsonObject& report) {
  Verification verification = RunVerifyCommands(invocation, project, revision, rollout);
  JsonObject about{{"revision", revision},
                   {"passed", verification.passed},
                   {"reason", verification.reason},
                   {"runs", std::move(verification.runs)}};
  int code = kDone;
  if (!verification.passed) {
    code = TakeBack(invocation, project, revision, verification.reason, about);
  } else {
    DaemonClient client(invocation);
    auto answer =
        client.Call("POST", EnvironmentPath(project.definition.project, invocation.environment, "/verified") +
                                "?revision=" + std::to_string(revision));
    if (!answer) code = Report(invocation, std::move(answer).error().While("noting that it is verified"));
  }
  report["verification"] = std::move(about);
  return code;
}

int VerifyActive(Invocation& invocation, const Project& project, JsonObject& report) {
  if (VerifyOf(project, invocation.environment).empty()) return kDone;
  DaemonClient client(invocation);
  auto status = client.Call("GET", EnvironmentPath(project.definition.project, invocation.environment));
  if (!status) return Report(invocation, status.error());
  const JsonObject none;
  const JsonObject& fields = status->is_object() ? status->get_object() : none;
  if (BoolOr(fields, "verified", true)) return kDone;
  return VerifyRevision(invocation, project, static_cast<uint64_t>(IntOr(fields, "active", 0)), 0, report);
}

}  // namespace ingot::app
