// services: and what is in them.
#include "definition/scalars.h"
#include "definition/shapes.h"

namespace ingot::definition {

namespace {

Shape<Protocol> ProtocolShape() {
  return Choice<Protocol>({{"http", Protocol::kHttp}, {"tcp", Protocol::kTcp}});
}

Shape<Port> PortShape() {
  Fields<Port> fields("port", "A port that the service listens on.");
  fields.Required("port", &Port::number, PortNumber(), "Its number.")
      .Optional("protocol", &Port::protocol, ProtocolShape(), "What is spoken there.", "\"http\"");
  return Either(fields.ToShape(),
                As<Port, uint16_t>(PortNumber(), [](uint16_t number, Port& port) { port.number = number; }));
}

// `port: 8080` is ports: {http: {port: 8080, protocol: http}}. Writes to the same member as `ports`.
Shape<Service> ShortPort() {
  return As<Service, uint16_t>(PortNumber(), [](uint16_t number, Service& service) {
    if (number != 0) service.ports = {{"http", Port{number, Protocol::kHttp}}};
  });
}

Shape<Mount> MountShape() {
  Fields<Mount> fields("mount", "A volume in an instance.");
  fields.Required("name", &Mount::name, NameText("the name of a volume"), "The volume's name in `volumes`.")
      .Required("path", &Mount::path, AbsolutePath(), "Where it is in the instance.")
      .Optional("read_only", &Mount::read_only, Truth(), "Whether the instance may only read it.", "false");
  return fields.ToShape();
}

void AddProcess(Fields<Service>& fields) {
  fields
      .Optional("command", &Service::command, Words(),
                "What it runs instead of the image's ENTRYPOINT and CMD: the program and its arguments.")
      .Optional(
          "user", &Service::user,
          TextThat("a user such as app, 1000 or 1000:1000", "^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$", IsUser),
          "Who it runs as: name or number, with an optional group; as in the image if not given.")
      .Optional("workdir", &Service::workdir, AbsolutePath(),
                "Where it starts; as in the image if not given.")
      .Optional("environment", &Service::environment, MapOf(EnvironmentKeys(), AnyText()),
                "Environment variables, on top of the image's.")
      .Optional("secrets", &Service::secrets,
                ListOf(TextThat("the name of a secret", SecretNames().pattern, IsSecretName)),
                "Names of `secrets`; each is a file under /run/secrets.")
      .Optional("stop_signal", &Service::stop_signal, SignalName(),
                "How it is asked to stop; as in the image, else SIGTERM, if not given.")
      .Optional("stop_grace_period", &Service::stop_grace_period, Duration(Milliseconds(0)),
                "From that signal to SIGKILL.", "\"10s\"");
}

void AddSurroundings(Fields<Service>& fields) {
  fields.Part("port", ShortPort(), "Short for ports: {http: {port: N, protocol: http}}.")
      .Optional("ports", &Service::ports, MapOf(Names(), PortShape()),
                "The ports it listens on, by name; a number alone speaks http.")
      .AtMostOneOf({"port", "ports"})
      .Optional("uses", &Service::uses, ListOf(NameText("the name of a service or endpoint")),
                "Services and endpoints it may reach, by name; nothing else is reachable.")
      .Optional("resources", &Service::resources, ResourcesShape(),
                "Limits of each instance; none if not given.")
      .Optional("scratch", &Service::scratch, ListOf(ScratchShape()),
                "The only writable paths; a text alone is the path.")
      .Optional("capabilities", &Service::capabilities, ListOf(Capability()),
                "Linux capabilities that its process gets; none if not given.", "[]")
      .Optional("volumes", &Service::volumes, ListOf(MountShape()), "Volumes, which outlive instances.")
      .Optional("keepalive_timeout", &Service::keepalive_timeout, Duration(),
                "How long the program itself keeps an idle connection; lets the router reuse connections.");
}

void AddLife(Fields<Service>& fields) {
  fields
      .Optional("kind", &Service::kind,
                Choice<Kind>(
                    {{"service", Kind::kService}, {"worker", Kind::kWorker}, {"stateful", Kind::kStateful}}),
                "service answers requests; worker takes work and has no port; stateful keeps its own volume.",
                "\"service\"")
      .Optional("replicas", &Service::replicas, Integer(0, 1000), "How many instances run.", "1")
      .Optional("health", &Service::health, HealthShape(), "How its instances are judged.")
      .Optional("rollout", &Service::rollout, RolloutShape(), "How a new revision replaces the old one.")
      .Optional("scale", &Service::scale, ScaleShape(), "Autoscaling.")
      .Optional("max_age", &Service::max_age, Duration(),
                "Instances are replaced, by the same digest, at this age; 10s or more.");
}

}  // namespace

Shape<Scratch> ScratchShape() {
  Fields<Scratch> fields("scratch", "A writable directory that is lost with the instance.");
  fields.Required("path", &Scratch::path, AbsolutePath(), "Where it is in the instance.")
      .Optional("size", &Scratch::size_bytes, Size(), "The most it holds.", "\"64MiB\"")
      .Optional("exec", &Scratch::exec, Truth(), "Whether programs may be run from it.", "false");
  return Either(fields.ToShape(),
                As<Scratch, std::string>(AbsolutePath(), [](std::string path, Scratch& scratch) {
                  scratch.path = std::move(path);
                }));
}

Shape<Resources> ResourcesShape() {
  Fields<Resources> fields("resources", "Limits of an instance.");
  fields.Optional("cpus", &Resources::millicpus, Cpus(), "CPUs, in steps of 0.001.")
      .Optional("memory", &Resources::memory_bytes, Size(),
                "Memory; an instance that needs more is killed and replaced.")
      .Optional("pids", &Resources::pids, Count(1, 4'194'304), "Processes and threads.");
  return fields.ToShape();
}

Shape<Service> ServiceShape(ServiceUse use) {
  const bool declared = use == ServiceUse::kDeclared;
  Fields<Service> fields(declared ? "service" : "service_override",
                         declared ? "A service: what runs, how many, what it may reach."
                                  : "What is different about a service in this environment.");
  const Shape<std::string> image = NameText("the name of an image");
  constexpr std::string_view doc = "The name of an image of this definition.";
  if (declared) {
    fields.Required("image", &Service::image, image, doc);
  } else {
    fields.Optional("image", &Service::image, image, doc);
  }
  AddProcess(fields);
  AddSurroundings(fields);
  AddLife(fields);
  return fields.ToShape();
}

}  // namespace ingot::definition
