// Who may do what, and when nothing may be done: access, approval, policy.
#include "definition/rules.h"
#include "definition/scalars.h"
#include "definition/shapes.h"

namespace ingot::definition {

namespace {

Shape<std::string> Member() {
  return TextThat(
      "a user of the host, group: and a group of it, token:NAME or cert:NAME",
      "^(group:)?[a-z_][a-z0-9_.-]{0,31}\\$?$|^token:[a-z0-9][a-z0-9._-]{0,62}$|^cert:[ -~]{1,128}$",
      IsMember);
}

Shape<Freeze> FreezeShape() {
  Fields<Freeze> fields("freeze", "A time in which nothing new is released.");
  fields.Optional("from", &Freeze::from, Moment(), "When it begins.")
      .Optional("until", &Freeze::until, Moment(), "When it ends.")
      .Optional("at", &Freeze::at, Cron(), "When it begins, again and again: the five fields of cron, UTC.")
      .Optional("for", &Freeze::hold, Duration(), "How long it lasts each time; beside at.")
      .Required("reason", &Freeze::reason, Text("a reason"), "Why, for whoever is refused.")
      .Optional("in", &Freeze::in, ListOf(NameText("the name of an environment"), 1),
                "Environments; all if not given.")
      .ExactlyOneOf({"from", "at"})
      .Check([](Reader& reader, const Node&, Freeze& freeze) {
        if (freeze.from && !freeze.until)
          return reader.Fail("a freeze without an end; expected until beside from");
        if (freeze.from && freeze.hold) return reader.Fail("for stands beside at only; expected until");
        if (!freeze.at.empty() && !freeze.hold)
          return reader.Fail("a freeze without an end; expected for beside at");
        if (!freeze.at.empty() && freeze.until) return reader.Fail("until stands beside from only");
        return !freeze.from || *freeze.from < *freeze.until ||
               reader.Fail("it ends before it has begun; expected until after from");
      });
  return fields.ToShape();
}

}  // namespace

Shape<Role> RoleShape() {
  Fields<Role> fields("role", "What people of a role may do. root may do everything.");
  fields
      .Required(
          "may", &Role::may,
          ListOf(Word({"approve", "deploy", "rollback", "promote", "scale", "destroy", "secret", "read"})),
          "Acts.")
      .Optional("in", &Role::in, ListOf(NameText("the name of an environment"), 1),
                "Environments; all if not given.")
      .Optional(
          "members", &Role::members, ListOf(Member(), 1),
          "Users of the host, group:NAME for everybody of a group, token:NAME and cert:NAME for who comes "
          "from elsewhere; if not given, the group of the role's name.");
  return fields.ToShape();
}

Shape<Approval> ApprovalShape() {
  Fields<Approval> fields("approval", "What a release waits for.");
  fields.Required("role", &Approval::role, NameText("a role of `access`"), "Somebody of this role.")
      .Optional("within", &Approval::within, Duration(), "How long to wait; after that nothing has changed.",
                "\"24h\"");
  return Either<Approval>(
      As<Approval, std::string>(NameText("a role of `access`"),
                                [](std::string role, Approval& out) { out.role = std::move(role); }),
      fields.ToShape());
}

Shape<Policy> PolicyShape() {
  Fields<Policy> retention("retention", "Which old revisions are kept.");
  retention.Optional("keep", &Policy::keep, Integer(1, 10'000), "At least this many revisions.", "10")
      .Optional("keep_for", &Policy::keep_for, Duration(), "And each at least this long.");
  Fields<Policy> images("image_policy", "Which images may be deployed.");
  images.Optional("signed_by", &Policy::signed_by, ListOf(Text("the name of a key"), 1),
                  "Keys; an image needs a signature by each.");
  Fields<Policy> fields("policy", "What is allowed, and what is done about drift.");
  fields.Part("retention", retention.ToShape(), "Which old revisions are kept.")
      .Part("images", images.ToShape(), "Which images may be deployed.")
      .Optional("drift", &Policy::drift,
                Choice<DriftAction>({{"replace", DriftAction::kReplace}, {"report", DriftAction::kReport}}),
                "What happens to an instance that was modified.", "\"replace\"")
      .Optional("freeze", &Policy::freeze, ListOf(FreezeShape()), "Times in which nothing new is released.");
  return fields
      .Check([](Reader& reader, const Node&, Policy& policy) {
        return policy.freeze.size() <= kMostFreezes ||
               reader.Fail("more than the " + std::to_string(kMostFreezes) + " freezes that there may be");
      })
      .ToShape();
}

}  // namespace ingot::definition
