#include "compiler/graph/provenance.h"

#include <algorithm>
#include <iterator>

namespace gradc {
namespace {

template <class T>
void normalize(std::vector<T>& v) {
  std::sort(v.begin(), v.end());
  v.erase(std::unique(v.begin(), v.end()), v.end());
}

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace

OriginId ProvenanceTable::add(const Origin& origin) {
  auto [it, fresh] = origin_ids_.try_emplace(origin, OriginId(origins_.size()));
  if (fresh) origins_.push_back(origin);
  return it->second;
}

ProvenanceId ProvenanceTable::add(Provenance p) {
  normalize(p.origins);
  normalize(p.derivations);
  normalize(p.rewrites);
  auto [it, fresh] = set_ids_.try_emplace(std::move(p), ProvenanceId(sets_.size()));
  if (fresh) sets_.push_back(it->first);
  return it->second;
}

ProvenanceId ProvenanceTable::unite(ProvenanceId a, ProvenanceId b) {
  if (!a || a == b) return b;
  if (!b) return a;
  Provenance p = get(a);
  append(p.origins, get(b).origins);
  append(p.derivations, get(b).derivations);
  append(p.rewrites, get(b).rewrites);
  return add(std::move(p));
}

ProvenanceId ProvenanceTable::derived(ProvenanceId a, const Derivation& d) {
  Provenance p = a ? get(a) : Provenance{};
  p.derivations.push_back(d);
  return add(std::move(p));
}

ProvenanceId ProvenanceTable::rewritten(ProvenanceId a, Symbol rule) {
  Provenance p = a ? get(a) : Provenance{};
  p.rewrites.push_back(rule);
  return add(std::move(p));
}

SourceSpan ProvenanceTable::user_span(OriginId id, const SourceManager& sources) const {
  for (; id; id = origin(id).caller) {
    SourceSpan span = origin(id).span;
    if (span && !sources.file(span.file).library) return span;
  }
  return {};
}

}  // namespace gradc
