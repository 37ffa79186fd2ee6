#pragma once

#include "compiler/rewrite/rule.h"

namespace gradc::rewrite {

// The parts of the group "shape".
std::vector<Rule> view_rules();         // views of views
std::vector<Rule> motion_rules();       // work moved to where there is less of it
std::vector<Rule> contraction_rules();  // views and sums absorbed by contractions

}  // namespace gradc::rewrite
