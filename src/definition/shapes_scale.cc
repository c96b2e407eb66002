// How many instances a service has: scale.
#include "definition/scalars.h"
#include "definition/shapes.h"

namespace ingot::definition {

Shape<Scale> ScaleShape() {
  Fields<ScaleTarget> target(
      "scale_target", "What autoscaling keeps to; of several, the one that needs most instances counts.");
  target
      .Optional("cpu", &ScaleTarget::cpu, Percent(),
                "Of the instance's CPU limit; of one CPU where it has none.")
      .Optional("memory", &ScaleTarget::memory, Percent(), "Of the instance's memory limit.")
      .Optional("requests", &ScaleTarget::requests, Integer(1, 1'000'000),
                "Requests per second and instance.")
      .Optional("queue", &ScaleTarget::queue, ScaleQueueShape(),
                "A number from elsewhere, such as the length of a queue.");
  Fields<ScaleSchedule> schedule(
      "scale_schedule",
      "Bounds that hold from a time on, until that of another one; of one minute the last.");
  schedule.Required("at", &ScaleSchedule::at, Cron(), "From when: the five fields of cron, UTC.")
      .Optional("min", &ScaleSchedule::min, Integer(1, 1000),
                "The fewest instances; without a target the count.")
      .Optional("max", &ScaleSchedule::max, Integer(1, 1000), "The most instances.")
      .Check([](Reader& reader, const Node&, ScaleSchedule& one) {
        return one.min || one.max || reader.Fail("it changes nothing; expected min or max beside at");
      });
  Fields<Scale> fields("scale", "Autoscaling.");
  fields.Optional("min", &Scale::min, Integer(1, 1000), "The fewest instances.", "1")
      .Optional("max", &Scale::max, Integer(1, 1000), "The most instances.")
      .Optional("target", &Scale::target, target.ToShape(), "What decides between them.")
      .Optional("cooldown", &Scale::cooldown, Duration(),
                "Fewer instances have to be enough for so long before there are fewer.", "5m")
      .Optional("schedules", &Scale::schedules, ListOf(schedule.ToShape(), 1), "Other bounds, by time.")
      .Optional("spares", &Scale::spares, Integer(0, 100),
                "Ready instances beyond the count, which get no requests until they are needed.", "0");
  return fields.ToShape();
}

}  // namespace ingot::definition
