// Which file has the key of the secrets.
#pragma once

#include "app/layout.h"
#include "secrets/secret_store.h"

namespace CLI {
class App;
}

namespace ingot::app {

// What --secrets-key or INGOT_SECRETS_KEY names, made when it is not there; else the credential
// `ingot-secrets` of the unit (systemd.exec(5)), which is the administrator's; else ROOT/secrets.key.
secrets::SecretStore::Options SecretOptions(const Layout& layout);

// The option --secrets-key.
void AddSecretsKeyOption(CLI::App& verb, std::string& file);

}  // namespace ingot::app
