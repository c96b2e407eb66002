// The tables of version 1: every block of a definition, its keys, types, limits and descriptions.
#pragma once

#include "definition/definition.h"
#include "definition/shape.h"

namespace ingot::definition {

Shape<Image> ImageShape();
// An environment's override is a service of which any part may be left out.
enum class ServiceUse { kDeclared, kOverride };
Shape<Service> ServiceShape(ServiceUse use);
Shape<Resources> ResourcesShape();
Shape<Scratch> ScratchShape();
Shape<Rollout> RolloutShape();
Shape<Analysis> AnalysisShape();
Shape<ScaleQueue> ScaleQueueShape();
Shape<Scale> ScaleShape();
Shape<Health> HealthShape();
Shape<Environment> EnvironmentShape();
Shape<Role> RoleShape();
Shape<Approval> ApprovalShape();
Shape<Policy> PolicyShape();
// The whole; made when it is first asked for, and never changed.
const Shape<Definition>& DefinitionShape();

}  // namespace ingot::definition
