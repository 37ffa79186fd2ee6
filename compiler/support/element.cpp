#include "compiler/support/element.h"

namespace gradc {

size_t byte_size(Element e) {
  switch (e) {
    case Element::Bool: return 1;
    case Element::F32: return 4;
    case Element::Int:
    case Element::F64: return 8;
    case Element::None: return 0;
  }
  return 0;
}

const char* name(Element e) {
  constexpr const char* names[] = {"bool", "int", "f32", "f64", "none"};
  return names[static_cast<size_t>(e)];
}

std::optional<Element> parse_element(std::string_view text) {
  for (Element e : {Element::Bool, Element::Int, Element::F32, Element::F64}) {
    if (text == name(e)) return e;
  }
  return std::nullopt;
}

}  // namespace gradc
