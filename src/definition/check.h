// What a definition's parts promise each other: names that exist, orders that end, ports that do not collide.
#pragma once

#include "definition/definition.h"
#include "definition/problem.h"

namespace ingot::definition {

// Every name that refers to something refers to something there is, and nothing refers to itself in a circle.
// Sensible also on a definition with problems: a value that could not be read still has its name.
void CheckNames(const Definition& definition, Problems& problems);

// The rules between fields, for the services as declared and as each environment has them. Only for a
// definition without problems so far.
void CheckServices(const Definition& definition, Problems& problems);
void CheckRoutes(const Definition& definition, Problems& problems);
// Whoever is waited for may approve, and an environment's approver counts in it.
void CheckRules(const Definition& definition, Problems& problems);

// The port of a service that a probe or route means: the one named, else the only one, else the one named
// "http". Null when there is no such port.
const std::pair<const std::string, Port>* PortOf(const Service& service, const std::string& name);

}  // namespace ingot::definition
