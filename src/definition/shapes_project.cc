// The top of a definition, and everything around its services.
#include "definition/endpoint_url.h"
#include "definition/event_names.h"
#include "definition/outside_address.h"
#include "definition/scalars.h"
#include "definition/shapes.h"

namespace ingot::definition {

namespace {

// The rules between services are checked once per environment; both together bound that work.
constexpr size_t kMostServices = 500;
constexpr size_t kMostEnvironments = 50;

Shape<std::string> OutsideAddressText() {
  Shape<std::string> shape;
  shape.what = "an address of a server such as 10.0.0.7:8080";
  shape.read = [](Reader& reader, const Node& node, std::string& out) {
    const auto scalar = reader.Text(node, "an address of a server");
    if (!scalar) return false;
    const Result<OutsideAddress> address = OutsideAddress::Parse(scalar->text);
    if (!address) return reader.Fail(node, address.error().message() + ", not " + Quoted(scalar->text));
    out = address->Render();
    return true;
  };
  shape.schema = [](SchemaWriter&) -> Json {
    return JsonObject{{"type", "string"}, {"pattern", ":[1-9][0-9]{0,4}$|\\$\\{"}};
  };
  return shape;
}

// `to`: a service, or a service beside a server that is on its way out.
Shape<Route> RouteTarget() {
  Fields<Route> fields("route_target",
                       "A service, and a server elsewhere that gets a share of its requests.");
  const auto of_server = [](auto shape, auto member) {
    using Value = std::remove_reference_t<decltype(std::declval<OutsideServer>().*member)>;
    return As<Route, Value>(std::move(shape), [member](Value value, Route& route) {
      if (!route.outside) route.outside.emplace();
      (*route.outside).*member = std::move(value);
    });
  };
  fields
      .Part("service",
            As<Route, std::string>(NameText("the name of a service"),
                                   [](std::string name, Route& route) { route.to = std::move(name); }),
            "The service, which gets the rest.")
      .Needed()
      .Part("address", of_server(OutsideAddressText(), &OutsideServer::address),
            "A server elsewhere, host:port, which speaks HTTP.")
      .Needed()
      .Part("weight", of_server(Weight(), &OutsideServer::weight), "The percentage of the requests it gets.")
      .Needed();
  return Either(As<Route, std::string>(NameText("the name of a service"),
                                       [](std::string name, Route& route) { route.to = std::move(name); }),
                fields.ToShape());
}

Shape<Route> RouteShape() {
  Fields<Route> fields("route", "How the outside reaches a service.");
  fields
      .Optional("listen", &Route::listen, Listen(),
                "An address and port of the host: \":8000\", \"127.0.0.1:8000\".")
      .Optional("host", &Route::host, HostName(),
                "A host name, on the host's own listeners; *. in front is any one label.")
      .Optional("path", &Route::path, HttpPath(), "Only this path and those below it; beside host.", "\"/\"")
      .Part("to", RouteTarget(), "The service; {service, address, weight} beside a server that it replaces.")
      .Needed()
      .Optional("port", &Route::port, NameText("the name of a port of the service"),
                "The service's port, by name; needed when it has several.")
      .Optional("protocol", &Route::protocol,
                Choice<Protocol>({{"http", Protocol::kHttp}, {"tcp", Protocol::kTcp}}),
                "What is carried; that of the service's port if not given.")
      .Optional("tls", &Route::tls, Truth(), "Whether clients speak TLS to it, by a certificate of the host.",
                "false")
      .ExactlyOneOf({"listen", "host"})
      .Check([](Reader& reader, const Node&, Route& route) {
        if (!route.path.empty() && route.host.empty())
          return reader.Fail("path stands beside host only; a listener carries everything");
        if (!route.host.empty() && route.protocol == Protocol::kTcp)
          return reader.Fail("a route by host name is HTTP; expected listen beside protocol: tcp");
        if (route.path.find_first_of("?#%") != std::string::npos)
          return reader.Fail("path is a path alone; expected no ?, # or % in it");
        if (route.outside && route.protocol == Protocol::kTcp)
          return reader.Fail("a share for a server elsewhere is of HTTP requests; expected protocol: http");
        return true;
      });
  return fields.ToShape();
}

Shape<std::string> EndpointUrlText() {
  Shape<std::string> shape;
  shape.what = "a URL";
  shape.read = [](Reader& reader, const Node& node, std::string& out) {
    auto scalar = reader.Text(node, "a URL");
    if (!scalar) return false;
    const Result<EndpointUrl> url = EndpointUrl::Parse(scalar->text);
    if (!url) return reader.Fail(node, url.error().message());
    out = std::move(scalar->text);
    return true;
  };
  shape.schema = [](SchemaWriter&) -> Json {
    return JsonObject{{"type", "string"}, {"pattern", "(^[A-Za-z][A-Za-z0-9+.-]*://)|\\$\\{"}};
  };
  return shape;
}

Shape<Endpoint> EndpointShape() {
  Fields<Endpoint> fields("endpoint", "State or a service that lives elsewhere.");
  fields
      .Required("url", &Endpoint::url, EndpointUrlText(),
                "Where it is: scheme://host[:port][/path] or sqlite:///file, no password.")
      .Optional("check", &Endpoint::check_tcp, Choice<bool>({{"tcp", true}, {"none", false}}),
                "tcp: whether it accepts connections is watched.", "\"none\"");
  return fields.ToShape();
}

Shape<Volume> VolumeShape() {
  Fields<Volume> fields("volume", "Data that outlives instances.");
  fields
      .Optional("size", &Volume::size_bytes, Size(), "The most it holds, where the file system can limit it.")
      .Optional("snapshot", &Volume::snapshot,
                Choice<Snapshot>({{"none", Snapshot::kNone}, {"before-rollout", Snapshot::kBeforeRollout}}),
                "When a snapshot is taken.", "\"none\"");
  return fields.ToShape();
}

Shape<SecretSource> SecretShape() {
  using Source = SecretSource;
  Fields<Source> fields("secret", "Where a secret's bytes come from.");
  const auto named = [](Shape<std::string> shape, Source::Kind kind) {
    return As<Source, std::string>(std::move(shape), [kind](std::string name, Source& source) {
      source = {kind, std::move(name)};
    });
  };
  fields
      .Part("from", named(Word({"store"}), Source::Kind::kStore),
            "store: `ingot secret set` makes a new version.")
      .Part("file", named(FilePath("a file"), Source::Kind::kFile), "A file, relative to this one.")
      .Part("env",
            named(TextThat("the name of an environment variable", VariableNames().pattern, IsVariableName),
                  Source::Kind::kEnv),
            "An environment variable of the command.")
      .ExactlyOneOf({"from", "file", "env"})
      .Check([](Reader&, const Node&, Source& source) {
        if (source.kind == Source::Kind::kStore) source.name.clear();
        return true;
      });
  return fields.ToShape();
}

Shape<Migration> MigrationShape() {
  Fields<Migration> fields("migration", "Schema changes as part of a release.");
  fields.Required("endpoint", &Migration::endpoint, NameText("the name of an endpoint"), "The database.")
      .Optional("scripts", &Migration::scripts, FilePath("a directory"),
                "A directory of NNN_name.sql and NNN_name.contract.sql files.")
      .Optional("run", &Migration::run, CommandLine(),
                "A command that does the work, with each apply that makes a revision.")
      .Optional("image", &Migration::image, NameText("the name of an image"),
                "The image that the command runs in.")
      .Optional("secret", &Migration::secret, NameText("the name of a secret"),
                "The database's password, or a whole postgres:// URL in place of the endpoint's.")
      .ExactlyOneOf({"scripts", "run"})
      .Check([](Reader& reader, const Node&, Migration& migration) {
        if (!migration.run.empty() && migration.image.empty())
          return reader.Fail("a command needs an image to run in; expected image beside run");
        if (migration.run.empty() && !migration.image.empty())
          return reader.Fail("scripts run in no image; expected image beside run only");
        return true;
      });
  return fields.ToShape();
}

Shape<Job> JobShape() {
  Fields<Job> fields("job", "Work with an end, each run in a fresh instance.");
  fields
      .Required("image", &Job::image, NameText("the name of an image"),
                "The name of an image of this definition.")
      .Optional("command", &Job::command, Words(), "What it runs instead of the image's ENTRYPOINT and CMD.")
      .Optional("schedule", &Job::schedule, Cron(),
                "When: the five fields of cron, UTC; only on demand if not given.")
      .Optional("on", &Job::on_release, Choice<bool>({{"release", true}}),
                "release: also once after each apply whose traffic has switched, with what it has released.")
      .Optional("concurrency", &Job::concurrency,
                Choice<Concurrency>({{"forbid", Concurrency::kForbid},
                                     {"allow", Concurrency::kAllow},
                                     {"replace", Concurrency::kReplace}}),
                "A run that comes while another goes on: is not begun, runs beside it, or takes its place.",
                "\"forbid\"")
      .Optional("timeout", &Job::timeout, Duration(), "After it, the run is killed and has failed.", "\"1h\"")
      .Optional("retries", &Job::retries, Integer(0, 100), "How often a failed run is repeated.", "0")
      .Optional("environment", &Job::environment, MapOf(EnvironmentKeys(), AnyText()),
                "Environment variables.")
      .Optional("secrets", &Job::secrets,
                ListOf(TextThat("the name of a secret", SecretNames().pattern, IsSecretName)),
                "Names of `secrets`.")
      .Optional("uses", &Job::uses, ListOf(NameText("the name of a service or endpoint")),
                "Services and endpoints it may reach.")
      .Optional("resources", &Job::resources, ResourcesShape(), "Limits of a run.")
      .Optional("scratch", &Job::scratch, ListOf(ScratchShape()),
                "The only writable paths; a text alone is the path.")
      .Optional("artifacts", &Job::artifacts, ListOf(AbsolutePath()),
                "Writable directories whose files are copied out of a run and kept with it.");
  return fields.ToShape();
}

Shape<Verify> VerifyShape() {
  Fields<Verify> fields("verify", "A check of an environment after a rollout.");
  fields.Required("run", &Verify::run, CommandLine(), "A command that has to exit with 0.")
      .Optional("timeout", &Verify::timeout, Duration(), "After it, the check has failed.", "\"10m\"");
  return fields.ToShape();
}

Shape<Notify> NotifyShape() {
  // Of drift one can be told once it is watched for (unsupported.cc).
  const Shape<std::string> event = TextThat(
      "the name of an event such as rollout.reverted, or rollout for all of them", "^[a-z_]+(\\.[a-z_]+)?$",
      [](std::string_view text) { return text == "drift" || IsEventName(text); });
  Fields<Notify> fields("notify", "Who hears of events.");
  fields.Optional("webhook", &Notify::webhook, EndpointUrlText(), "A URL that each event is sent to.")
      .Optional("run", &Notify::run, CommandLine(), "A command that gets each event on standard input.")
      .Required("on", &Notify::on, ListOf(event, 1), "The events; rollout is all rollout.….")
      .Optional("secret", &Notify::secret, NameText("the name of a secret"),
                "A secret that webhooks are signed with (Standard Webhooks).")
      .ExactlyOneOf({"webhook", "run"})
      .Check([](Reader& reader, const Node&, Notify& notify) {
        const auto url = EndpointUrl::Parse(notify.webhook);
        if (!notify.webhook.empty() && url && url->scheme != "https" && url->scheme != "http")
          return reader.Fail("webhook: expected a URL of https or http");
        return notify.secret.empty() || !notify.webhook.empty() ||
               reader.Fail("secret signs webhooks; a command is not signed");
      });
  return fields.ToShape();
}

Shape<Pipeline> PipelineShape() {
  Fields<Pipeline> fields("pipeline", "From a push to a deployment.");
  fields.Required("git", &Pipeline::git, Text("a repository"), "The repository.")
      .Optional("branch", &Pipeline::branch, Text("a branch"), "The branch that is followed.", "\"main\"")
      .Required("deploy", &Pipeline::deploy, NameText("the name of an environment"), "Where a push goes.");
  return fields.ToShape();
}

// `version` and `flags` have no struct of their own.
Shape<Definition> VersionShape() {
  auto shape = As<Definition, std::string>(Word({"1"}), [](std::string, Definition&) {});
  shape.schema = [](SchemaWriter&) -> Json { return JsonObject{{"const", 1}}; };
  return shape;
}
Shape<Definition> FlagsShape() {
  Fields<Definition> fields("flags", "Feature flags.");
  fields
      .Optional("file", &Definition::flags_file, FilePath("a file"),
                "The file that holds them, relative to this one.")
      .Needed();
  return fields.ToShape();
}

}  // namespace

Shape<Environment> EnvironmentShape() {
  Fields<Environment> fields("environment", "A named place to deploy.");
  fields.Optional("host", &Environment::host, HostUrl(), "The API of another host; this one if not given.")
      .Optional(
          "platform", &Environment::platform,
          Choice<PlatformKind>({{"local", PlatformKind::kLocal}, {"kubernetes", PlatformKind::kKubernetes}}),
          "What runs the fleets.", "\"local\"")
      .Optional("context", &Environment::context, Text("the name of a context"), "The kubeconfig context.")
      .Optional("promote_from", &Environment::promote_from, NameText("the name of an environment"),
                "Only what is promoted from that environment is deployed.")
      .Optional("approval", &Environment::approval, ApprovalShape(),
                "A release waits, before anything is done, until somebody of this role approves.")
      .Optional("verify", &Environment::verify, ListOf(VerifyShape()),
                "Checks after a rollout; failed, it reverts.")
      .Optional("services", &Environment::services, MapOf(Names(), ServiceShape(ServiceUse::kOverride)),
                "What is different about services here.")
      .Check([](Reader& reader, const Node&, Environment& environment) {
        const bool kubernetes = environment.platform == PlatformKind::kKubernetes;
        if (!environment.context.empty() && !kubernetes)
          return reader.Fail("context stands beside platform: kubernetes only");
        if (!environment.host.empty() && kubernetes)
          return reader.Fail("host names an Ingot host; expected context beside platform: kubernetes");
        return true;
      });
  return fields.ToShape();
}

namespace {

Shape<Definition> MakeDefinitionShape() {
  Fields<Definition> fields("definition", "A project: its images, services, environments and rules.");
  fields.Part("version", VersionShape(), "The version of this format: 1.")
      .Needed()
      .Required("project", &Definition::project, NameText(), "The project's name.")
      .Optional("images", &Definition::images, MapOf(Names(), ImageShape()), "Images, by name.")
      .Optional("services", &Definition::services,
                MapOf(Names(), ServiceShape(ServiceUse::kDeclared), kMostServices), "Services, by name.")
      .Optional("routes", &Definition::routes, ListOf(RouteShape()), "How the outside reaches services.")
      .Optional("endpoints", &Definition::endpoints, MapOf(Names(), EndpointShape()),
                "State and services that live elsewhere, by name.")
      .Optional("volumes", &Definition::volumes, MapOf(Names(), VolumeShape()), "Volumes, by name.")
      .Optional("secrets", &Definition::secrets, MapOf(SecretNames(), SecretShape()), "Secrets, by name.")
      .Optional("migrations", &Definition::migrations, MapOf(Names(), MigrationShape()),
                "Schema changes, by name.")
      .Optional("jobs", &Definition::jobs, MapOf(Names(), JobShape()), "Jobs, by name.")
      .Part("flags", FlagsShape(), "Feature flags.")
      .Optional("environments", &Definition::environments,
                MapOf(Names(), EnvironmentShape(), kMostEnvironments),
                "Places to deploy, by name; `local` is always one.")
      .Optional("access", &Definition::access, MapOf(Names(), RoleShape()), "Roles, by name.")
      .Optional("policy", &Definition::policy, PolicyShape(), "What is allowed.")
      .Optional("notify", &Definition::notify, ListOf(NotifyShape()), "Who hears of events.")
      .Optional("pipeline", &Definition::pipeline, PipelineShape(), "From a push to a deployment.");
  return fields.ToShape();
}

}  // namespace

const Shape<Definition>& DefinitionShape() {
  static const Shape<Definition> shape = MakeDefinitionShape();
  return shape;
}

}  // namespace ingot::definition
