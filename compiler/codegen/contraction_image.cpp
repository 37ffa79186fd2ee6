#include "compiler/codegen/contraction_image.h"

#include <algorithm>

#include "compiler/support/error.h"

namespace gradc {

using llvm::Value;

Value* IndexPoint::linear(const Affine& at) {
  Value* sum = b_.getInt64(static_cast<uint64_t>(at.offset));
  for (size_t d = 0; d < at.strides.size(); ++d) sum = plus(sum, index[d], at.strides[d]);
  return sum;
}

Value* IndexPoint::address(int slot, const Affine& at) {
  const Element element = statements_.body().slots[static_cast<size_t>(slot)].element;
  return b_.CreateGEP(statements_.memory_type(element), statements_.slot_pointer(slot), linear(at));
}

Value* IndexPoint::block_times(int64_t) { GRADC_BUG("a contraction stores no partial results by block"); }

Value* IndexPoint::plus(Value* sum, Value* index_value, int64_t stride) {
  if (!index_value || stride == 0) return sum;
  return b_.CreateAdd(sum, stride == 1 ? index_value : b_.CreateMul(index_value, b_.getInt64(static_cast<uint64_t>(stride))));
}

int64_t ImagePoint::step(const Affine& at, size_t axis) const {
  const ImageAxis& a = axes_[axis];
  if (at.strides.empty()) return 0;
  return a.m >= 0 ? at.strides[static_cast<size_t>(a.m)] / a.m_step : at.strides[static_cast<size_t>(a.k)] / a.k_step;
}

Value* ImagePoint::linear(const Affine& at) {
  Value* sum = IndexPoint::linear(at);
  for (size_t x = 0; x < axes_.size(); ++x) sum = plus(sum, place[x], step(at, x));
  return sum;
}

WindowCode::WindowCode(const Contraction& form, const WindowPlan& plan, BodyContext& context)
    : form_(form), p_(plan), context_(context), b_(context.builder), statements_(context.statements),
      element_(context.statements.memory_type(form.element)), bytes_(static_cast<int64_t>(byte_size(form.element))),
      vector_(llvm::FixedVectorType::get(element_, static_cast<unsigned>(plan.lanes))) {}

Value* WindowCode::evaluate(const std::vector<Stmt>& stmts, Point& point, const Lanes& lanes) {
  Value* result = statements_.emit(stmts, point, lanes);
  statements_.locate(nullptr);
  return result;
}

void WindowCode::store_operand(const std::vector<Stmt>& stmts, Point& point, const Lanes& lanes, Value* to) {
  b_.CreateAlignedStore(statements_.spread(evaluate(stmts, point, lanes), lanes.width), to, align());
}

ImagePacker::ImagePacker(const Contraction& form, const WindowPlan& plan, BodyContext& context)
    : WindowCode(form, plan, context), point_(context.statements, form.dims.size(), plan.windows.axes), places_(plan.windows.axes.size()) {
  if (copies()) source_ = &form.lhs[0].access;
}

void ImagePacker::pack(const std::vector<Range>& ranges, Value* to) {
  for (size_t x = 0; x < places_.size(); ++x) places_[x] = places(p_.windows.axes[x], ranges);
  if (source_) {
    copy_axis(0, to);
  } else {
    evaluate_axis(0, to);
  }
}

ImagePacker::Places ImagePacker::places(const ImageAxis& axis, const std::vector<Range>& ranges) {
  Places p{i64(0), i64(1)};
  for (int d : {axis.m, axis.k}) {
    if (d < 0) continue;
    const int64_t step = axis.step_of(d);
    const Range r = ranges[static_cast<size_t>(d)];
    p.first = b_.CreateAdd(p.first, times(r.start, step));
    auto* reach = times(b_.CreateSub(r.count, i64(1)), std::abs(step));
    p.count = b_.CreateAdd(p.count, reach);
    if (step < 0) p.first = b_.CreateSub(p.first, reach);
  }
  return p;
}

void ImagePacker::evaluate_axis(size_t x, Value* to) {
  const ImageAxis& a = p_.windows.axes[x];
  if (x + 1 < places_.size()) {
    for_loop(b_, i64(0), places_[x].count, 1, [&](Value* i) {
      point_.place[x] = b_.CreateAdd(places_[x].first, i);
      evaluate_axis(x + 1, offset(to, times(i, p_.axis_stride[x])));
    });
    return;
  }
  const int along = a.m >= 0 && a.m_step == 1 ? a.m : a.k >= 0 && a.k_step == 1 ? a.k : -1;
  for_lanes(places_[x].count, along, [&](Value* i, const Lanes& lanes) {
    point_.place[x] = b_.CreateAdd(places_[x].first, i);
    store_operand(form_.lhs, point_, lanes, offset(to, i));
  });
}

// One load, innermost in order, each of whose guards follows one axis of the image.
bool ImagePacker::copies() const {
  const std::vector<Stmt>& s = form_.lhs;
  if (s.size() != 2 || s[0].kind != StmtKind::Load || s[1].kind != StmtKind::Yield || s[1].args[0] != s[0].value) return false;
  const Access& a = s[0].access;
  if (!a.indirect.empty() || s[0].type != form_.element || point_.step(a.at, places_.size() - 1) != 1) return false;
  return std::all_of(a.guards.begin(), a.guards.end(), [&](const Guard& g) {
    int64_t moving = 0;
    for (size_t x = 0; x < places_.size(); ++x) moving += std::abs(point_.step(g.at, x));
    return g.step == 1 && g.limit > 0 && moving == 1;
  });
}

bool ImagePacker::guarded(size_t x) const {
  return std::any_of(source_->guards.begin(), source_->guards.end(), [&](const Guard& g) { return point_.step(g.at, x) != 0; });
}

// Places along the axis, and all within each, lie in a row: in the source as in the box.
bool ImagePacker::runs(size_t x) const {
  if (x + 1 < places_.size() && (guarded(x + 1) || !runs(x + 1))) return false;
  return point_.step(source_->at, x) == p_.axis_stride[x];
}

// Outside of the guards the fill; inside, what follows inwards.
void ImagePacker::copy_axis(size_t x, Value* to) {
  Value *from = i64(0), *end = places_[x].count;
  if (guarded(x)) {
    for (size_t y = 0; y < places_.size(); ++y) {
      if (y >= x) point_.place[y] = places_[y].first;
    }
    for (const Guard& g : source_->guards) {
      const int64_t step = point_.step(g.at, x);
      if (step == 0) continue;
      auto* at = point_.linear(g.at);  // of the first place
      auto* low = step > 0 ? b_.CreateNeg(at) : b_.CreateSub(at, i64(g.limit - 1));
      from = maximum(from, low);
      end = minimum(end, b_.CreateAdd(low, i64(g.limit)));
    }
    from = minimum(from, places_[x].count);
    end = maximum(end, from);
    fill(x, i64(0), from, to);
  }
  copy_places(x, from, end, to);
  if (guarded(x)) fill(x, end, places_[x].count, to);
}

void ImagePacker::copy_places(size_t x, Value* from, Value* end, Value* to) {
  if (!runs(x)) {
    for_loop(b_, from, end, 1, [&](Value* i) {
      point_.place[x] = b_.CreateAdd(places_[x].first, i);
      copy_axis(x + 1, offset(to, times(i, p_.axis_stride[x])));
    });
    return;
  }
  for (size_t y = x; y < places_.size(); ++y) point_.place[y] = places_[y].first;
  point_.place[x] = b_.CreateAdd(places_[x].first, from);
  auto* source = point_.address(source_->slot, source_->at);
  auto* target = offset(to, times(from, p_.axis_stride[x]));
  for_lanes(times(b_.CreateSub(end, from), p_.axis_stride[x]), 0, [&](Value* i, const Lanes& lanes) {
    auto* place = offset(source, i);
    Value* v = lanes.mask ? static_cast<Value*>(b_.CreateMaskedLoad(vector_, place, align(), lanes.mask, llvm::Constant::getNullValue(vector_)))
                          : b_.CreateAlignedLoad(vector_, place, align());
    b_.CreateAlignedStore(v, offset(target, i), align());
  });
}

void ImagePacker::fill(size_t x, Value* from, Value* end, Value* to) {
  auto* value = emit_constant(b_, form_.element, source_->fill, p_.lanes);
  for_loop(b_, times(from, p_.axis_stride[x]), times(end, p_.axis_stride[x]), p_.lanes,
           [&](Value* i) { b_.CreateAlignedStore(value, offset(to, i), align()); });
}

}  // namespace gradc
