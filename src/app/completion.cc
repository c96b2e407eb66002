#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <set>

#include "app/invocation.h"
#include "app/verbs.h"

namespace ingot::app {

namespace {

// What `--help` lists, too.
bool IsShown(const CLI::App* verb) {
  return !verb->get_group().empty();
}

// The words that may follow, from the declared verbs and options: nothing is listed by hand.
std::string WordsOf(const CLI::App& app) {
  std::set<std::string> words;
  for (const CLI::App* verb : app.get_subcommands(IsShown)) words.insert(verb->get_name());
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) words.insert("--" + name);
    for (const std::string& name : option->get_snames()) words.insert("-" + name);
  }
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

void PrintCase(const CLI::App& app, const std::string& prefix) {
  for (const CLI::App* verb : app.get_subcommands(IsShown)) {
    const std::string path = prefix.empty() ? verb->get_name() : prefix + " " + verb->get_name();
    std::printf("    \"%s\") words=\"%s\" ;;\n", path.c_str(), WordsOf(*verb).c_str());
    PrintCase(*verb, path);
  }
}

// One function serves bash, and zsh through its bashcompinit.
void PrintBash(const CLI::App& app) {
  std::puts("# ingot completion: source <(ingot completion bash)");
  std::puts("_ingot() {");
  std::puts("  local current=\"${COMP_WORDS[COMP_CWORD]}\" path=\"\" word words=\"\"");
  std::puts("  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do");
  std::puts("    case \"$word\" in -*) ;; *) path=\"${path:+$path }$word\" ;; esac");
  std::puts("  done");
  std::puts("  case \"$path\" in");
  std::printf("    \"\") words=\"%s\" ;;\n", WordsOf(app).c_str());
  PrintCase(app, "");
  std::puts("  esac");
  std::puts("  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))");
  std::puts("  [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- \"$current\"))");
  std::puts("}");
  std::puts("complete -F _ingot ingot");
}

void PrintFish(const CLI::App& app) {
  std::puts("# ingot completion: ingot completion fish | source");
  for (const CLI::App* verb : app.get_subcommands(IsShown)) {
    std::printf("complete -c ingot -n __fish_use_subcommand -a %s -d '%s'\n", verb->get_name().c_str(),
                verb->get_description().c_str());
    for (const CLI::Option* option : verb->get_options())
      for (const std::string& name : option->get_lnames())
        std::printf("complete -c ingot -n '__fish_seen_subcommand_from %s' -l %s\n", verb->get_name().c_str(),
                    name.c_str());
  }
}

}  // namespace

void AddCompletion(CLI::App& app, Invocation& invocation) {
  auto shell = std::make_shared<std::string>();
  CLI::App* verb = AddVerb(app, invocation, "completion", "completion for bash, zsh or fish", [&app, shell] {
    if (*shell == "fish") {
      PrintFish(app);
    } else {
      if (*shell == "zsh") std::puts("autoload -U +X bashcompinit && bashcompinit");
      PrintBash(app);
    }
    return static_cast<int>(kDone);
  });
  verb->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  verb->footer("For this shell: source <(ingot completion bash)");
}

}  // namespace ingot::app
