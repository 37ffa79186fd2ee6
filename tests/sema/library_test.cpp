// The library against PyTorch 2.13 in f64: its values for the same numbers, computed once. Inputs are sin(1.7 (i^2 mod 101) + phase).
#include <cmath>

#include <catch2/catch.hpp>

#include "tests/sema/elaborated.h"

using namespace gradc;
using namespace gradc::test;

namespace {

using List = std::vector<double>;
using Sizes = std::vector<int64_t>;

Tensor wave(const Sizes& sizes, double phase, double scale = 1) {
  Tensor t = tensor_of(Element::F64, sizes, {});
  for (int64_t i = 0; i < t.type.count(); ++i) t.set(i, scale * std::sin(1.7 * static_cast<double>(i * i % 101) + phase));
  return t;
}

List values(const Tensor& t) {
  List v;
  for (int64_t i = 0; i < t.type.count(); ++i) v.push_back(t.at(i));
  return v;
}

void check_near(const List& a, const List& b, double bound = 1e-12) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) CHECK(a[i] == Approx(b[i]).epsilon(bound).margin(bound));
}

// The value `y` of a body over inputs and parameters by name.
Tensor y_of(const std::string& signature, const std::string& body, std::map<Symbol, Tensor> inputs, bool training = false) {
  ElaborateRequest r = f64_request();
  r.outputs = {"y"};
  r.training = training;
  Elaborated e("use nn\nmodel m(" + signature + ") {\n " + body + "\n}\n", r);
  INFO(e.messages());
  REQUIRE(e.result);
  CHECK(verify(e.graph(), true) == std::vector<std::string>{});
  for (const ParameterInfo& p : e.result->parameters) {
    INFO(p.path.str());
    CHECK(inputs.count(p.path) == 1);
    CHECK(inputs.at(p.path).type.same_shape(p.type));
  }
  return e.evaluate(std::move(inputs)).at("y");
}

// Parameters of attention called `at`, of width 4, as the reference has them.
std::map<Symbol, Tensor> attention(const std::string& at, std::map<Symbol, Tensor> more) {
  double k = 0;
  for (const char* part : {"query", "key", "value", "out"}) {
    more.emplace(fmt::format("{}.{}.W", at, part), wave({4, 4}, 0.2 + k));
    more.emplace(fmt::format("{}.{}.b", at, part), wave({4}, 1.2 + k));
    k += 1;
  }
  return more;
}

}  // namespace

TEST_CASE("library: activations and their derivatives") {
  struct Row {
    const char* name;
    List value, slope;
  };
  const std::vector<Row> rows = {
      {"sigmoid", {0.04742587317756678, 0.3775406687981454, 0.5621765008857981, 0.8175744761936437, 0.9820137900379085}, {0.04517665973091214, 0.470007424403189, 0.7384022482127951, 0.5965858082813315, 0.08831353106645554}},
      {"tanh", {-0.9950547536867305, -0.46211715726000974, 0.24491866240370913, 0.9051482536448664, 0.999329299739067}, {0.009866037165440166, 1.5728954659318548, 2.820044546419134, 0.7228265556945944, 0.0067047534151295825}},
      {"softplus", {0.04858735157374206, 0.4740769841801067, 0.8259394198788436, 1.7014132779827524, 4.0181499279178094}, {0.04742587317756679, 0.7550813375962909, 1.6865295026573943, 3.2702979047745746, 4.910068950189542}},
      {"relu", {0.0, 0.0, 0.25, 1.5, 4.0}, {0.0, 0.0, 3.0, 4.0, 5.0}},
      {"leaky_relu", {-0.03, -0.005, 0.25, 1.5, 4.0}, {0.01, 0.02, 3.0, 4.0, 5.0}},
      {"elu", {-0.950212931632136, -0.3934693402873666, 0.25, 1.5, 4.0}, {0.049787068367863944, 1.2130613194252668, 3.0, 4.0, 5.0}},
      {"selu", {-1.6705687287671118, -0.6917581878028713, 0.2626752468388701, 1.5760514810332207, 4.202803949421922}, {0.08753061208026487, 2.1326823060890105, 3.1521029620664414, 4.202803949421922, 5.253504936777402}},
      {"gelu", {-0.00404969409489031, -0.15426876936299344, 0.14967658142073093, 1.399789198096713, 3.9998733150326675}, {-0.01194564720418392, 0.26500975068767424, 2.086120064650908, 4.509876768919918, 5.002518248306132}},
      {"gelu_tanh", {-0.0036373920817729943, -0.15428599017485606, 0.149675350701685, 1.3995715769802328, 3.9999297540518075}, {-0.011584166630969648, 0.2652601929307153, 2.086062285453181, 4.510843172605732, 5.00167561598561}},
      {"silu", {-0.14227761953270035, -0.1887703343990727, 0.14054412522144952, 1.2263617142904655, 3.928055160151634}, {-0.08810410601516962, 0.5200776253946964, 1.871130064710593, 4.165176617196572, 5.263323074455364}},
      {"mish", {-0.1456474612756246, -0.22074377465173, 0.1695724096638176, 1.4033782663958028, 3.9974128069762385}, {-0.09339311453232084, 0.5790213558270245, 2.2625180031617784, 4.35395194003139, 5.022164384518751}},
      {"hardtanh", {-1.0, -0.5, 0.25, 1.0, 1.0}, {0.0, 2.0, 3.0, 0.0, 0.0}},
      {"softmax", {0.0008159114990072215, 0.009939836909123994, 0.021042634901742772, 0.07344601253573864, 0.8947556041543875}, {-0.0031423897662791827, -0.028342307440748546, -0.038958030421163435, -0.06253087458135334, 0.13297360220954418}},
      {"log_softmax", {-7.111204665981057, -4.611204665981057, -3.861204665981057, -2.611204665981057, -0.11120466598105684}, {0.9877613275148917, 1.85090244636314, 2.6843604764738584, 2.898309811963921, -8.421334062315813}}};
  Tensor x = tensor_of(Element::F64, {5}, {-3, -0.5, 0.25, 1.5, 4});
  for (const Row& r : rows) {
    INFO(r.name);
    check_near(values(y_of("x: [5]", fmt::format("y = {}(x)", r.name), {{"x", x}})), r.value);
    check_near(values(y_of("x: [5]", fmt::format("y = grad(sum({}(x) * [1, 2, 3, 4, 5]), x)", r.name), {{"x", x}})), r.slope);
  }
}

TEST_CASE("library: GroupNorm") {
  Tensor y = y_of("x: [2, 3, 2, 4]", "y = x |> GroupNorm(2)", {{"x", wave({2, 3, 2, 4}, 0.1)}, {"y.gamma", wave({4}, 0.5)}, {"y.beta", wave({4}, 0.9)}});
  List all = values(y);
  check_near(List(all.begin(), all.begin() + 8), {0.7838071036995751, 1.5167856425849173, 1.7190464822829101, -0.5187616332880419, 1.2776175759667854, -0.7223797109959965, -0.012005707382483778, -0.6001023722189792});
  double cubes = 0;
  for (double v : all) cubes += v * v * v;
  CHECK(cubes == Approx(57.74157967552901).epsilon(1e-12));
}

TEST_CASE("library: ConvTranspose with groups, strides, dilation and output padding") {
  Tensor y = y_of("x: [2, 4, 5, 4]", "y = x |> ConvTranspose(6, size = 3, groups = 2, bias = false) |> sin", {{"x", wave({2, 4, 5, 4}, 0.1)}, {"y.W", wave({3, 3, 4, 3}, 0)}});
  CHECK(y.type.sizes() == Sizes{2, 4, 5, 6});
  y = y_of("x: [2, 4, 5, 4], w: [3, 2, 4, 3]", "y = conv_transpose(x, w, stride = [2, 3], padding = [1, 0], output_padding = [1, 2], groups = 2, dilation = [2, 1])",
           {{"x", wave({2, 4, 5, 4}, 0.1)}, {"w", wave({3, 2, 4, 3}, 0.7)}});
  CHECK(y.type.sizes() == Sizes{2, 10, 16, 6});
  Tensor weight = wave(y.type.sizes(), 0.2);
  double cubes = 0, weighted = 0;
  for (int64_t i = 0; i < y.type.count(); ++i) cubes += std::pow(y.at(i), 3), weighted += y.at(i) * weight.at(i);
  CHECK(cubes == Approx(62.435540454613694).epsilon(1e-11));
  CHECK(weighted == Approx(-24.70365466493151).epsilon(1e-11));
}

TEST_CASE("library: MultiHeadAttention, of itself, causal, of a memory, masked") {
  Tensor x = wave({2, 3, 4}, 0.3), memory = wave({2, 5, 4}, 0.8);
  auto of_itself = [&](const std::string& options) { return values(y_of("x: [2, 3, 4]", "y = x |> MultiHeadAttention(2" + options + ")", attention("y", {{"x", x}}))); };
  check_near(of_itself(""), {-0.25866189378539184, -1.9509018207407964, -4.239503412650102, 3.551438426213405, -1.3320024608752623, -0.18764879002501078, -3.398030854481772, 3.185721560663336, -1.160005785818319, -0.7293479625695973, -3.9361001843520853, 3.4428630406695055, 2.4441410476086576, -3.342844175448654, -1.4541409878254155, 1.8932974418469244, 0.9333017665536547, -2.8935952367453694, -2.9561210724242692, 2.538389595466597, 1.435481424235076, -3.4307065725592056, -2.4874550988053663, 2.0539659109060233});
  check_near(of_itself(", causal = true"), {-2.8227838512444015, 2.227851043150242, -2.397960768915465, 2.7349158939850082, -1.4714164326255925, 0.44875543850310146, -2.7536031815060014, 2.884594990673278, -1.160005785818319, -0.7293479625695973, -3.9361001843520853, 3.4428630406695055, 2.5154044823595427, -3.084243071930616, -1.6886085869428626, 2.4032417728547033, 3.7488197538559227, -4.063906308652614, 0.5288687612787091, 0.5568176418693254, 1.435481424235076, -3.4307065725592056, -2.4874550988053663, 2.0539659109060233});
  auto of_memory = [&](const std::string& more) {
    std::string call = "attend = MultiHeadAttention(2)\n y = attend(x, memory = m" + more + ")";
    return values(y_of("x: [2, 3, 4], m: [2, 5, 4]", call, attention("attend", {{"x", x}, {"m", memory}})));
  };
  check_near(of_memory(""), {-0.15569783189915626, -0.7008392339182776, -1.3352779657893126, 1.68807101431686, -2.0066049630741842, 0.5976697352843926, -2.923548247228835, 2.7153935828171742, -2.4300003931282017, 1.0736505684106596, -2.8594071882228, 2.657686223423135, -1.118690404260474, 0.6689203404542254, -1.516359774217971, 2.091285071372846, -1.1918972632256466, 0.49200697588578246, -1.600382342838393, 1.9830660843538586, -1.7340407264694386, 1.264212774400423, -1.1100617767611072, 1.6162492679415368});
  std::string mask = "[[true, false, true, true, false], [false, true, true, false, true], [true, true, false, false, false]]";
  check_near(of_memory(", mask = bool(" + mask + ")"), {-1.78896406137081, 1.1365348066339525, -1.5234964317240003, 1.905911900653995, -1.1759557477079239, -0.17586887031226373, -2.44884184185116, 2.3430884099755636, -2.7707172736820707, 1.4084381642012094, -3.0501684909159943, 2.823397431970043, -0.44067330229102314, -0.3170072819880175, -1.9394397343485708, 2.327521102437446, -2.362559384101063, 1.8768428204356373, -2.1074448309923013, 2.5581129442239967, -1.4432261122609427, -0.6914594463077021, -4.00826919397468, 3.2217111797780458});
  check_near(of_memory(", mask = bool([" + mask + ", " + mask + "])"), {-1.78896406137081, 1.1365348066339525, -1.5234964317240003, 1.905911900653995, -1.1759557477079239, -0.17586887031226373, -2.44884184185116, 2.3430884099755636, -2.7707172736820707, 1.4084381642012094, -3.0501684909159943, 2.823397431970043, -0.44067330229102314, -0.3170072819880175, -1.9394397343485708, 2.327521102437446, -2.362559384101063, 1.8768428204356373, -2.1074448309923013, 2.5581129442239967, -1.4432261122609427, -0.6914594463077021, -4.00826919397468, 3.2217111797780458});
}

TEST_CASE("library: rotary positions keep lengths, and products depend on distances only") {
  // q and k the same vector at every position: the products are constant along diagonals.
  Tensor y = y_of("v: [6]", "x = zeros([1, 5, 1, 6]) + v\n r = rotary_embedding(x)\n d[i, j] = sum[e](r[0, i, 0, e] * r[0, j, 0, e])\n y = d", {{"v", wave({6}, 0.4)}});
  double length = 0;
  for (double v : values(wave({6}, 0.4))) length += v * v;
  for (int64_t i = 0; i < 5; ++i) {
    CHECK(y.at(i * 5 + i) == Approx(length).epsilon(1e-12));
    if (i > 0) CHECK(y.at(i * 5 + i - 1) == Approx(y.at(5)).epsilon(1e-12));
  }
  // The first pair turns by one radian a position, the last by 10000^(-2/3) of it for k = 6: pair 2.
  Tensor r = y_of("v: [6]", "y = rotary_embedding(zeros([1, 3, 1, 6]) + v)", {{"v", tensor_of(Element::F64, {6}, {1, 0, 1, 0, 0, 0})}});
  double slow = 2 * std::pow(10000.0, -2.0 / 3.0);
  check_near(List{r.at(12), r.at(15), r.at(14), r.at(17)}, {std::cos(2.0), std::sin(2.0), std::cos(slow), std::sin(slow)});
}

TEST_CASE("library: TransformerBlock") {
  auto block = [&](const std::string& options) {
    std::map<Symbol, Tensor> in = attention("y.attention", {{"x", wave({2, 3, 4}, 0.3)}});
    in.emplace("y.norm1.gamma", wave({4}, 2.1)), in.emplace("y.norm1.beta", wave({4}, 2.2));
    in.emplace("y.norm2.gamma", wave({4}, 2.3)), in.emplace("y.norm2.beta", wave({4}, 2.4));
    in.emplace("y.up.W", wave({4, 8}, 2.5)), in.emplace("y.up.b", wave({8}, 2.6));
    in.emplace("y.down.W", wave({8, 4}, 2.7)), in.emplace("y.down.b", wave({4}, 2.8));
    return values(y_of("x: [2, 3, 4]", "y = x |> TransformerBlock(2, width = 8" + options + ")", in, true));
  };
  check_near(block(""), {0.2661016777113774, -4.306305802522684, -3.6288640566257495, -0.39774316079568584, 0.5143703407583935, -6.069392137237392, -5.183261200143538, 0.06890068432518426, 0.4785972262952165, -5.341896459163487, -3.715775966464198, -0.5028122263458146, 0.8988000644167352, -7.001522269178542, -5.797173514979542, 0.7470128851992244, 0.6312698676863622, -6.897537514622847, -4.689544794033172, -1.9065732954738985, 1.9762972141884403, -5.720585079053323, -4.229583396800753, -1.5952244616978295});
  check_near(block(", causal = true"), {2.7445838604211743, -5.544184912216309, -3.1785741216568715, 0.23000197409039203, 1.6690601468123225, -6.569966791915066, -4.091118366577204, -0.4363014359016728, 0.4785972262952165, -5.341896459163487, -3.715775966464198, -0.5028122263458146, 1.0194845619220385, -5.280866717970998, 0.21267103112759833, -1.2121868835783314, 0.349742849026052, -6.763613305940092, -0.4597500104262596, -2.4556359634585867, 1.9762972141884403, -5.720585079053323, -4.229583396800753, -1.5952244616978295});
}

TEST_CASE("library: losses") {
  std::map<Symbol, Tensor> in = {{"z", wave({3, 4}, 0.4, 2)}, {"s", wave({3, 4}, 1.4)}, {"label", tensor_of(Element::Int, {3}, {2, 0, 3})},
                                {"a", wave({3, 4}, 0.6)}, {"b", wave({3, 4}, 1.9)}, {"c", wave({3, 4}, 2.9)}};
  auto loss = [&](const std::string& e) { return values(y_of("z: [3, 4], s: [3, 4], label: int[3], a: [3, 4], b: [3, 4], c: [3, 4]", "p = softmax(s)\n y = " + e, in)); };
  check_near(loss("cross_entropy(z, label)"), {1.030511143176246, 1.0412830088466363, 1.9902253576692268});
  check_near(loss("cross_entropy(z, label, smoothing = 0.1)"), {1.0865317781164459, 1.1811766086942814, 1.9517218021403067});
  check_near(loss("cross_entropy(z, label, ignore = 0)"), {1.030511143176246, 0.0, 1.9902253576692268});
  check_near(loss("cross_entropy(z, label, ignore = 0, smoothing = 0.1)"), {1.0865317781164459, 0.0, 1.9517218021403067});
  check_near(loss("mean_where(cross_entropy(z, label, ignore = 0), label != 0)"), {1.5103682504227365});
  check_near(loss("cross_entropy(z, p)"), {1.4327178719525402, 2.3406223233741943, 1.5920219105417024});
  check_near(loss("cross_entropy(z, p, smoothing = 0.2)"), {1.4643177960776812, 2.360541660163973, 1.5946554889093671});
  check_near(loss("nll(log_softmax(z), label)"), {1.030511143176246, 1.0412830088466363, 1.9902253576692268});
  check_near(loss("kl_divergence(p, softmax(z))"), {0.23258688408568803, 0.9688334507630916, 0.39986142760296184});
  check_near(loss("cosine_embedding(a, b, [1, -1, -1], margin = 0.1)"), {0.5245787721962489, 0.0, 0.1292240080309173});
  check_near(loss("triplet(a, b, c, margin = 1.5)"), {0.8426114543514895, 0.42703224559341324, 1.2754156651950797});
  check_near(loss("huber(a, b, delta = 0.5)"), {0.318836522065618});
  check_near(loss("mae(a, b)"), {0.863066740741786});
  check_near(loss("mse(a, b)"), {0.9033448794999828});
  check_near(loss("binary_cross_entropy_with_logits(z[0], [1, 0, 1, 0])"), {0.37770986523665695, 1.8901692873509948, 0.18603934516605836, 0.7011420701587994});
  // The closed form of two normal distributions: log(1 / s) + (s^2 + m^2) / 2 - 1 / 2.
  check_near(loss("kl_normal([[0.5, -1]], log([[4, 0.25]]))"), {-std::log(2.0) + (4 + 0.25) / 2 - 0.5 - std::log(0.5) + (0.25 + 1) / 2 - 0.5});
}

TEST_CASE("library: Residual takes a layer, and layers take classes of layers") {
  Tensor x = wave({2, 3}, 0.3);
  Tensor y = y_of("x: [2, 3]", "y = x |> Residual(Sequential(Dense(3, bias = false), tanh))", {{"x", x}, {"y.inner.0.W", tensor_of(Element::F64, {3, 3}, {1, 0, 0, 0, 1, 0, 0, 0, 1})}});
  for (int64_t i = 0; i < 6; ++i) CHECK(y.at(i) == Approx(x.at(i) + std::tanh(x.at(i))).epsilon(1e-14));
}

TEST_CASE("library: initial values that are orthogonal or cut off") {
  ElaborateRequest r = f64_request();
  r.outputs = {"y"};
  Elaborated e("model m(x: [2]) {\n param A: [6, 4] = orthogonal()\n param B: [3, 5] = orthogonal(2)\n param C: [2, 3, 6] = orthogonal()\n param D: [40, 50] = truncated_normal(1, 2)\n"
               " a[i, j] = sum[k](A[k, i] * A[k, j])\n b[i, j] = sum[k](B[i, k] * B[j, k])\n c[i, j] = sum[k, l](C[k, l, i] * C[k, l, j])\n"
               " y = concat(reshape(a, [-1]), reshape(b, [-1]), reshape(c, [-1]), reshape(D, [-1]))\n}\n", r);
  INFO(e.messages());
  REQUIRE(e.result);
  List y = values(e.evaluate({{"x", wave({2}, 0)}}).at("y"));
  size_t at = 0;
  for (auto [n, square] : {std::pair<size_t, double>{4, 1}, {3, 4}, {6, 1}}) {
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < n; ++j) CHECK(y[at++] == Approx(i == j ? square : 0).margin(1e-9));
  }
  double sum = 0, squares = 0, far = 0, n = 2000;
  for (; at < y.size(); ++at) {
    double z = (y[at] - 1) / 2;
    sum += z, squares += z * z, far = std::max(far, std::abs(z));
  }
  CHECK(far <= 2 + 1e-9);
  CHECK(far > 1.9);
  CHECK(sum / n == Approx(0).margin(0.08));
  // The variance of a standard normal cut at 2: 1 - 2 * 2 phi(2) / erf(sqrt 2).
  CHECK(squares / n == Approx(1 - 4 * std::exp(-2.0) / std::sqrt(2 * M_PI) / std::erf(std::sqrt(2.0))).margin(0.06));
}

TEST_CASE("library: erfinv inverts erf") {
  Tensor x = tensor_of(Element::F64, {7}, {-2.5, -1, -0.1, 0, 1e-6, 0.7, 2});
  check_near(values(y_of("x: [7]", "y = erfinv(erf(x))", {{"x", x}})), values(x), 1e-11);
  check_near(values(y_of("x: [7]", "y = grad(sum(erfinv(erf(x))), x)", {{"x", x}})), List(7, 1), 1e-11);
}
