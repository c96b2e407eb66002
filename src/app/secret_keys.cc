#include "app/secret_keys.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

namespace ingot::app {

secrets::SecretStore::Options SecretOptions(const Layout& layout) {
  secrets::SecretStore::Options options;
  options.directory = layout.secrets();
  if (!layout.secrets_key.empty()) {
    options.key_file = fs::absolute(layout.secrets_key);
    return options;
  }
  const char* credentials = std::getenv("CREDENTIALS_DIRECTORY");
  if (credentials != nullptr && *credentials != '\0') {
    const fs::path file = fs::path(credentials) / "ingot-secrets";
    // Whatever there is of that name is meant: one that cannot be read is an error later, and no other key.
    if (::access(file.c_str(), F_OK) == 0) {
      options.key_file = file;
      options.key_is_given = true;
      return options;
    }
  }
  options.key_file = layout.own_secrets_key();
  return options;
}

void AddSecretsKeyOption(CLI::App& verb, std::string& file) {
  verb.add_option("--secrets-key", file,
                  "the file of the key that secrets are sealed by, made when it is not there (default: the "
                  "unit's credential ingot-secrets, else ROOT/secrets.key)")
      ->envname("INGOT_SECRETS_KEY")
      ->type_name("FILE");
}

}  // namespace ingot::app
