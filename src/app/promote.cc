#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>

#include "adapters/sqlite_events.h"
#include "app/daemon_client.h"
#include "app/image_carry.h"
#include "app/invocation.h"
#include "app/open_store.h"
#include "app/project.h"
#include "app/promotion.h"
#include "app/terminal.h"
#include "app/verbs.h"
#include "base/units.h"
#include "policy/promotion.h"

namespace ingot::app {

namespace {

struct PromoteOptions {
  std::string image;
  std::string to;
  std::string reason;
};

std::string Myself() {
  return "uid:" + std::to_string(::getuid());
}

// In the store of this host.
Result<Promoted> PromoteHere(const Invocation& invocation, const PromotedName& image,
                             PromotionRequest request) {
  auto opened = TRY(OpenExistingStore(invocation.layout()));
  store::Store& store = *opened.store;
  request.digest =
      image.digest ? *image.digest : TRY(store.GetTag(request.project + "/" + request.name, image.tag));
  TRY(store.GetImage(request.digest));
  request.actor = Myself();
  SystemClock clock;
  auto events = TRY(adapters::SqliteEvents::Open(invocation.layout().state_db(), clock));
  return MoveChannel(store, *events, request);
}

// From the host of one environment to that of the other one, by what both allow.
Result<Promoted> PromoteBetween(const Invocation& invocation, const definition::Environment& from,
                                const PromotedName& image, const PromotionRequest& request) {
  if (request.from.empty())
    return Error(Code::kInvalid, "environment \"" + request.to +
                                     "\" is on another host and has no promote_from: `ingot apply -e " +
                                     request.to + "` deploys to it, or name the environment it follows");
  Invocation at_source = invocation;
  at_source.environment = request.from;
  Invocation at_target = invocation;
  at_target.environment = request.to;
  DaemonClient source(at_source);
  DaemonClient target(at_target);
  if (TRY(target.Remote()) == nullptr)
    return Error(Code::kUnsupported,
                 "environment \"" + request.to + "\" is on this host and \"" + request.from +
                     "\" on another one: an image is carried to another host only; give \"" + request.to +
                     "\" the `host` of this one's API");
  DescribedImage described =
      TRY(DescribeImage(source, request.project, request.from, request.name, image.tag, image.digest));
  policy::PromotionFacts facts;
  facts.name = request.name + "@" + described.digest.Render();
  facts.golden = described.golden;
  facts.to = request.to;
  facts.from = request.from;
  facts.rolled_out_from = described.rolled_out;
  facts.held_by_from = described.held;
  TRY(policy::Enforce(policy::JudgePromotion(facts)));
  const CarriedImage carried =
      TRY(CarryImage(source, target, request.project, request.from, request.to, described, !invocation.json));
  if (!invocation.json && carried.layers > 0)
    std::fprintf(stderr, "carried %s: %zu layers, %zu files\n", RenderSize(carried.sent_bytes).c_str(),
                 carried.layers, carried.files);
  const Json body =
      JsonObject{{"image", request.name},
                 {"digest", described.digest.Render()},
                 {"from", request.from},
                 {"from_host", from.host.empty() ? std::string("the host of " + Myself()) : from.host},
                 {"rolled_out", described.rolled_out || described.held},
                 {"pulled", described.pulled},
                 {"reason", request.reason}};
  const Json answer =
      TRY(target.Call("POST", EnvironmentPath(request.project, request.to, "/promotions"), &body));
  if (!answer.is_object())
    return Error(Code::kInternal, "the host's answer about a promotion is not an object");
  return PromotedFrom(answer.get_object());
}

Result<Promoted> PromoteImage(const Invocation& invocation, const PromoteOptions& options) {
  const Project project = TRY(LoadProject(invocation));
  const definition::Definition& definition = project.definition;
  const auto environment = definition.environments.find(options.to);
  if (environment == definition.environments.end())
    return Error(Code::kInvalid,
                 definition.file + " has no environment \"" + options.to + "\" to promote to");
  const PromotedName image = TRY(PromotedName::Parse(definition, options.image));
  PromotionRequest request;
  request.project = definition.project;
  request.name = image.name;
  request.from = environment->second.promote_from;
  request.to = options.to;
  request.reason = options.reason;
  const auto from = definition.environments.find(request.from);
  const definition::Environment source =
      from == definition.environments.end() ? definition::Environment() : from->second;
  if (environment->second.host.empty() && source.host.empty())
    return PromoteHere(invocation, image, std::move(request));
  return PromoteBetween(invocation, source, image, request);
}

int Promote(Invocation& invocation, const PromoteOptions& options) {
  auto promoted = PromoteImage(invocation, options);
  if (!promoted) return Report(invocation, promoted.error());
  const store::Promotion& promotion = promoted->promotion;
  if (invocation.json) {
    PrintJson(ToJson(*promoted));
    return kDone;
  }
  std::printf("%s:%s %s %s\n", promotion.repository.c_str(), promotion.channel.c_str(),
              promoted->moved ? "is now" : "was already", promotion.digest.Render().c_str());
  if (promoted->moved && promotion.previous)
    std::printf("  before: %s\n", promotion.previous->Render().c_str());
  return kDone;
}

}  // namespace

void AddPromote(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<PromoteOptions>();
  CLI::App* verb =
      AddVerb(app, invocation, "promote", "move an environment's channel to an image that was proven",
              [&invocation, options] { return Promote(invocation, *options); });
  verb->add_option("image", options->image, "web, web:TAG or web@DIGEST")->required();
  verb->add_option("--to", options->to, "the environment whose channel moves")->required();
  verb->add_option("--reason", options->reason, "why, for the record");
  verb->add_option("-f,--file", invocation.file, "the definition")->capture_default_str();
  verb->footer(
      "Refused (exit 4) unless the image is golden and a rollout of it has completed in the environment "
      "that\n"
      "the channel is promoted from. `ingot images history IMAGE` shows every promotion. Where the two\n"
      "environments are on different hosts the image is carried from one to the other.");
}

}  // namespace ingot::app
