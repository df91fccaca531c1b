"""What models keep of scipy, for learning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .common import CLASSES, POSITIVE, RNG, THREE, Makes, Model, X, Y, grouped


def scipy_models() -> Iterator[Model]:
    """Splines, interpolators, sparse matrices, trees and meshes, results of optimizers and tests, distributions."""
    yield from grouped(_interpolators, _spatial, _optimized, _distributions, _statistics)


def _interpolators() -> Makes:
    from scipy import interpolate as si

    steps = np.arange(12.0)
    values = np.sin(steps)
    grid = np.add.outer(steps, steps[:8])
    points = RNG.normal(size=(30, 2))
    heights = points[:, 0] ** 2
    slopes = np.cos(steps)
    makes: Makes = [
        ("CubicSpline", lambda: si.CubicSpline(steps, values)),
        ("CubicSpline periodic", lambda: si.CubicSpline(steps, np.r_[values[:-1], values[0]], bc_type="periodic")),
        ("CubicSpline two", lambda: si.CubicSpline(steps, np.c_[values, slopes], bc_type="natural", extrapolate=False)),
        ("Pchip", lambda: si.PchipInterpolator(steps, values)),
        ("Akima", lambda: si.Akima1DInterpolator(steps, values)),
        ("makima", lambda: si.Akima1DInterpolator(steps, values, method="makima")),
        ("Hermite", lambda: si.CubicHermiteSpline(steps, values, slopes)),
        ("Krogh", lambda: si.KroghInterpolator(steps, values)),
        ("Barycentric", lambda: si.BarycentricInterpolator(steps, values)),
        ("Barycentric seeded", lambda: si.BarycentricInterpolator(steps, values, rng=np.random.default_rng(1))),
        ("FloaterHormann", lambda: si.FloaterHormannInterpolator(steps, values)),
        ("AAA", lambda: si.AAA(steps, values)),
        ("PPoly", lambda: si.PPoly(np.ones((2, 11)), steps)),
        ("BPoly", lambda: si.BPoly(np.ones((2, 11)), steps)),
        ("NdPPoly", lambda: si.NdPPoly(np.ones((2, 2, 3, 3)), (steps[:4], steps[:4]))),
        ("BSpline", lambda: si.make_interp_spline(steps, values, k=3)),
        ("BSpline lsq", lambda: si.make_lsq_spline(steps, values, np.r_[[0.0] * 4, 5.0, [11.0] * 4])),
        ("BSpline smooth", lambda: si.make_smoothing_spline(steps, values)),
        ("BSpline derivative", lambda: si.make_interp_spline(steps, values).derivative()),
        ("NdBSpline", lambda: si.NdBSpline((np.arange(8.0), np.arange(8.0)), np.ones((4, 4)), 3)),
        ("tck", lambda: si.splrep(steps, values)),
        ("RegularGrid", lambda: si.RegularGridInterpolator((steps, steps[:8]), grid)),
        (
            "RegularGrid nearest",
            lambda: si.RegularGridInterpolator((steps, steps[:8]), grid, method="nearest", bounds_error=False),
        ),
        ("RegularGrid cubic", lambda: si.RegularGridInterpolator((steps, steps[:8]), grid, method="cubic")),
        ("RegularGrid pchip", lambda: si.RegularGridInterpolator((steps, steps[:8]), grid, method="pchip")),
        ("RectBivariate", lambda: si.RectBivariateSpline(steps, steps[:8], grid)),
        ("SmoothBivariate", lambda: si.SmoothBivariateSpline(points[:, 0], points[:, 1], heights, kx=2, ky=2)),
        ("LSQBivariate", lambda: si.LSQBivariateSpline(points[:, 0], points[:, 1], heights, [0.0], [0.0], kx=2, ky=2)),
        (
            "RectSphere",
            lambda: si.RectSphereBivariateSpline(np.linspace(0.1, 3, 8), np.linspace(0, 6, 9), np.ones((8, 9))),
        ),
        (
            "SmoothSphere",
            lambda: si.SmoothSphereBivariateSpline(np.linspace(0.1, 3, 30), np.linspace(0, 6, 30), heights, s=99),
        ),
        (
            "LSQSphere",
            lambda: si.LSQSphereBivariateSpline(
                *(np.ravel(a) for a in np.meshgrid(np.linspace(0.3, 2.8, 9), np.linspace(0.1, 6, 9))),
                np.ones(81),
                np.array([1.0, 2.0]),
                np.array([2.0, 4.0]),
            ),
        ),
        ("NearestND", lambda: si.NearestNDInterpolator(points, heights)),
        ("NearestND rescale", lambda: si.NearestNDInterpolator(points, heights, rescale=True)),
        ("LinearND", lambda: si.LinearNDInterpolator(points, heights)),
        ("LinearND filled", lambda: si.LinearNDInterpolator(points, heights, fill_value=0.0, rescale=True)),
        ("CloughTocher", lambda: si.CloughTocher2DInterpolator(points, heights)),
        ("Univariate", lambda: si.UnivariateSpline(steps, values)),
        ("InterpolatedUnivariate", lambda: si.InterpolatedUnivariateSpline(steps, values, ext=1)),
        ("LSQUnivariate", lambda: si.LSQUnivariateSpline(steps, values, [3.0, 6.0])),
        ("Univariate derivative", lambda: si.UnivariateSpline(steps, values, k=4).derivative()),
        ("lagrange", lambda: si.lagrange(steps[:4], values[:4])),
        ("pade", lambda: si.pade([1.0, 1.0, 0.5, 1 / 6], 1)),
    ]
    for kernel in ("thin_plate_spline", "linear", "gaussian", "multiquadric", "cubic", "quintic"):
        makes.append((f"RBF {kernel}", lambda k=kernel: si.RBFInterpolator(points, heights, kernel=k, epsilon=1.0)))
    makes.append(("RBF neighbors", lambda: si.RBFInterpolator(points, heights, neighbors=10)))
    for function in ("multiquadric", "gaussian", "linear"):
        makes.append(
            (f"old Rbf {function}", lambda f=function: si.Rbf(points[:, 0], points[:, 1], heights, function=f))
        )
    for kind in ("linear", "nearest", "previous", "next", "nearest-up", "zero", "slinear", "quadratic", "cubic", 3):
        makes.append((f"interp1d {kind}", lambda k=kind: si.interp1d(steps, values, kind=k)))
    makes.append(("interp1d filled", lambda: si.interp1d(steps, values, bounds_error=False, fill_value=(0.0, 1.0))))
    makes.append(("interp1d extrapolate", lambda: si.interp1d(steps, values, fill_value="extrapolate")))
    return makes


def _spatial() -> Makes:
    from scipy import cluster, sparse, spatial
    from scipy.signal import StateSpace, TransferFunction, ZerosPolesGain, butter, dlti
    from scipy.spatial import transform

    points = RNG.normal(size=(40, 3))
    return [
        ("KDTree", lambda: spatial.KDTree(points)),
        ("KDTree boxed", lambda: spatial.KDTree(points % 1, leafsize=3, boxsize=1.0)),
        ("cKDTree", lambda: spatial.cKDTree(points, leafsize=5)),
        (
            "cKDTree copied",
            lambda: spatial.cKDTree(
                np.asfortranarray(points), copy_data=True, balanced_tree=False, compact_nodes=False
            ),
        ),
        ("cKDTree used", lambda: _used_tree(spatial.cKDTree(points))),
        ("Delaunay", lambda: spatial.Delaunay(points[:, :2])),
        ("Delaunay 3", lambda: spatial.Delaunay(points)),
        ("ConvexHull", lambda: spatial.ConvexHull(points)),
        ("Voronoi", lambda: spatial.Voronoi(points[:, :2])),
        ("SphericalVoronoi", lambda: spatial.SphericalVoronoi(points / np.linalg.norm(points, axis=1)[:, None])),
        (
            "HalfspaceIntersection",
            lambda: spatial.HalfspaceIntersection(
                np.array([[-1, 0.0, 0.0], [0.0, -1.0, 0.0], [2.0, 1.0, -4.0], [-0.5, 1.0, -2.0]]), np.array([0.5, 0.5])
            ),
        ),
        ("Rectangle", lambda: spatial.Rectangle([1, 1], [0, 0])),
        ("procrustes", lambda: spatial.procrustes(points, points + 1)),
        ("Rotation", lambda: transform.Rotation.from_euler("zyx", [90, 45, 30], degrees=True)),
        ("Rotations", lambda: transform.Rotation.random(3, random_state=1)),
        ("Slerp", lambda: transform.Slerp([0.0, 1.0, 2.0], transform.Rotation.random(3, random_state=1))),
        (
            "RotationSpline",
            lambda: transform.RotationSpline([0.0, 1.0, 2.0], transform.Rotation.random(3, random_state=1)),
        ),
        ("RigidTransform", lambda: transform.RigidTransform.from_translation([1.0, 2.0, 3.0])),
        ("linkage tree", lambda: cluster.hierarchy.to_tree(cluster.hierarchy.linkage(points[:5]))),
        ("DisjointSet", lambda: cluster.hierarchy.DisjointSet([1, 2, 3])),
        ("filters", lambda: [butter(3, 0.2), butter(3, 0.2, output="sos")]),
        ("TransferFunction", lambda: TransferFunction([1.0], [1.0, 2.0])),
        ("StateSpace", lambda: StateSpace([[1.0]], [[1.0]], [[1.0]], [[0.0]])),
        ("ZerosPolesGain", lambda: ZerosPolesGain([1.0], [2.0], 1.0)),
        (
            "dlti",
            lambda: [
                dlti([1.0], [1.0, 2.0], dt=0.1),
                TransferFunction([1.0], [1.0, 2.0], dt=0.1),
                StateSpace([[1.0]], [[1.0]], [[1.0]], [[0.0]], dt=0.1),
                ZerosPolesGain([1.0], [2.0], 1.0, dt=0.1),
            ],
        ),
        (
            "sparse",
            lambda: [
                getattr(sparse, f"{form}_{kind}")(np.eye(3))
                for form in ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")
                for kind in ("matrix", "array")
            ],
        ),
        ("sparse coo 1d", lambda: sparse.coo_array(np.array([1.0, 0.0]))),
        (
            "sparse kinds",
            lambda: [
                sparse.eye(3),
                sparse.diags([1.0]),
                sparse.random(3, 3, 0.5),
                sparse.csr_array(np.array([1.0, 0.0])),
            ],
        ),
        ("sparse int64", lambda: sparse.csr_matrix((np.ones(2), np.array([0, 1], "i8"), np.array([0, 1, 2], "i8")))),
        ("sparse types", lambda: [sparse.csr_matrix(np.eye(2, dtype=t)) for t in ("f4", "i4", "bool", "complex128")]),
        (
            "linear operators",
            lambda: [sparse.linalg.aslinearoperator(np.eye(3)), sparse.linalg.aslinearoperator(sparse.eye(3))],
        ),
    ]


def _used_tree(tree: Any) -> Any:
    tree.query(np.zeros((1, 3)))
    tree.tree  # noqa: B018 - it makes the Python view of the tree
    return tree


def _parabola(x: Any) -> Any:
    return float(np.sum((np.asarray(x) - 1.0) ** 2))


def _slope(x: Any) -> Any:
    return 2 * (np.asarray(x) - 1.0)


def _optimized() -> Makes:
    from scipy import integrate, optimize

    makes: Makes = []
    for method in (
        "Nelder-Mead",
        "Powell",
        "CG",
        "BFGS",
        "L-BFGS-B",
        "TNC",
        "COBYLA",
        "COBYQA",
        "SLSQP",
        "trust-constr",
    ):
        makes.append((f"minimize {method}", lambda m=method: optimize.minimize(_parabola, [0.0, 0.0], method=m)))
    for method in ("Newton-CG", "BFGS", "L-BFGS-B"):
        makes.append(
            (f"minimize jac {method}", lambda m=method: optimize.minimize(_parabola, [0.0, 0.0], jac=_slope, method=m))
        )
    for method in ("trust-ncg", "trust-krylov", "trust-exact", "dogleg"):
        makes.append(
            (
                f"minimize hess {method}",
                lambda m=method: optimize.minimize(
                    _parabola, [0.0, 0.0], jac=_slope, hess=lambda _: 2 * np.eye(2), method=m
                ),
            )
        )
    for method in ("brent", "bounded", "golden"):
        makes.append(
            (
                f"scalar {method}",
                lambda m=method: optimize.minimize_scalar(
                    _parabola, bounds=(0.0, 3.0) if m == "bounded" else None, method=m
                ),
            )
        )
    for method in ("hybr", "lm", "broyden1", "krylov", "df-sane", "anderson"):
        makes.append((f"root {method}", lambda m=method: optimize.root(_slope, [0.5, 0.5], method=m)))
    for method in ("trf", "dogbox", "lm"):
        makes.append((f"least squares {method}", lambda m=method: optimize.least_squares(_slope, [0.0, 0.0], method=m)))
    for method in ("highs", "highs-ds", "highs-ipm"):
        makes.append(
            (
                f"linprog {method}",
                lambda m=method: optimize.linprog([1.0, 1.0], A_ub=[[-1.0, 0.0]], b_ub=[-1.0], method=m),
            )
        )
    box = [(-2.0, 2.0), (-2.0, 2.0)]
    makes += [
        ("differential evolution", lambda: optimize.differential_evolution(_parabola, box, maxiter=3, seed=1)),
        ("dual annealing", lambda: optimize.dual_annealing(_parabola, box, maxiter=3, seed=1)),
        ("basinhopping", lambda: optimize.basinhopping(_parabola, [0.0, 0.0], niter=2, seed=1)),
        ("shgo", lambda: optimize.shgo(_parabola, box)),
        ("direct", lambda: optimize.direct(_parabola, box, maxiter=3)),
        ("brute", lambda: optimize.brute(_parabola, box, Ns=3, full_output=True)),
        ("root scalar", lambda: optimize.root_scalar(lambda x: x - 1, bracket=(0, 3))),
        ("lsq linear", lambda: optimize.lsq_linear(np.eye(2), [1.0, 1.0])),
        ("isotonic", lambda: optimize.isotonic_regression([1.0, 3.0, 2.0])),
        ("milp", lambda: optimize.milp([1.0], bounds=optimize.Bounds(0, 1))),
        ("curve fit", lambda: optimize.curve_fit(lambda x, a: a * x, [1.0, 2.0], [1.0, 2.0])),
        ("assignment", lambda: optimize.quadratic_assignment(np.eye(3), np.eye(3))),
        (
            "constraints",
            lambda: [
                optimize.Bounds([0], [1]),
                optimize.LinearConstraint(np.eye(2), 0, 1),
                optimize.BFGS(),
                optimize.SR1(),
            ],
        ),
        ("elementwise", lambda: optimize.elementwise.find_root(lambda x: x - 1, (0, 3))),
        ("ode", lambda: integrate.solve_ivp(_decay, (0, 1), [1.0])),
        ("quad", lambda: integrate.quad_vec(lambda x: x, 0, 1, full_output=True)),
    ]
    for method in ("RK45", "RK23", "DOP853", "Radau", "BDF", "LSODA"):
        makes.append(
            (
                f"dense {method}",
                lambda m=method: integrate.solve_ivp(_decay, (0, 1), [1.0], method=m, dense_output=True),
            )
        )
    return makes


def _decay(_time: float, y: Any) -> Any:
    return -y


SHAPES: dict[str, tuple[float, ...]] = {
    "alpha": (3.5,),
    "beta": (2.0, 3.0),
    "gamma": (2.0,),
    "lognorm": (0.5,),
    "pareto": (2.0,),
    "t": (5.0,),
    "chi2": (3.0,),
    "f": (3.0, 4.0),
    "weibull_min": (1.5,),
    "weibull_max": (1.5,),
    "triang": (0.3,),
    "truncnorm": (-1.0, 1.0),
    "expon": (),
    "norm": (),
    "uniform": (),
    "loguniform": (0.1, 1.0),
    "reciprocal": (0.1, 1.0),
    "cauchy": (),
    "laplace": (),
    "logistic": (),
    "genextreme": (0.1,),
    "gumbel_r": (),
    "skewnorm": (1.0,),
    "invgamma": (2.0,),
    "halfnorm": (),
    "rayleigh": (),
    "vonmises": (1.0,),
    "poisson": (2.0,),
    "binom": (5, 0.3),
    "geom": (0.4,),
    "randint": (1, 6),
    "nbinom": (3, 0.4),
    "bernoulli": (0.3,),
    "hypergeom": (20, 7, 12),
    "zipf": (2.5,),
    "levy_stable": (1.5, 0.0),
    "rv_histogram": (),
}


def _distributions() -> Makes:
    from scipy import stats

    makes: Makes = []
    for name in (*stats._continuous_distns._distn_names, *stats._discrete_distns._distn_names):
        distribution = getattr(stats, name, None)
        if distribution is None:
            continue
        makes.append((f"distribution {name}", lambda d=distribution: d))
        shapes = SHAPES.get(name, (1.5, 2.5, 3.5, 4.5)[: distribution.numargs])
        makes.append((f"frozen {name}", lambda d=distribution, s=shapes: d(*s)))
    makes += [
        ("located", lambda: stats.norm(loc=np.array([1.0, 2.0]), scale=2.0)),
        ("seeded", lambda: _seeded(stats.norm(), 3)),
        ("seeded generator", lambda: _seeded(stats.poisson(2.0), np.random.default_rng(1))),
        ("used", lambda: _asked_distribution(stats.gamma(2.0, scale=3.0))),
        ("discrete", lambda: stats.rv_discrete(name="own", values=([1, 2], [0.4, 0.6]))),
        ("frozen discrete", lambda: [stats.rv_discrete(values=([1, 2], [0.4, 0.6]))()]),
        ("histogram", lambda: stats.rv_histogram(np.histogram(Y, 10))),
        ("kde", lambda: stats.gaussian_kde(Y)),
        ("kde silverman", lambda: stats.gaussian_kde(X.T, bw_method="silverman", weights=POSITIVE)),
        ("kde scalar", lambda: stats.gaussian_kde(Y, bw_method=0.3)),
    ]
    many: dict[str, tuple[Any, ...]] = {
        "multivariate_normal": ([0.0, 1.0], np.eye(2)),
        "multivariate_t": ([0.0, 1.0], np.eye(2), 4),
        "matrix_normal": (np.zeros((2, 2)),),
        "matrix_t": (np.zeros((2, 2)),),
        "dirichlet": ([1.0, 2.0],),
        "wishart": (4, np.eye(2)),
        "invwishart": (4, np.eye(2)),
        "multinomial": (5, [0.4, 0.6]),
        "special_ortho_group": (3,),
        "ortho_group": (3,),
        "unitary_group": (3,),
        "random_correlation": ([0.5, 1.5],),
        "uniform_direction": (3,),
        "dirichlet_multinomial": ([1.0, 2.0], 5),
        "multivariate_hypergeom": ([5, 6], 4),
        "vonmises_fisher": ([0.0, 1.0], 2.0),
        "random_table": ([3, 4], [2, 5]),
        "normal_inverse_gamma": (),
    }
    for name, arguments in many.items():
        makes.append((f"many {name}", lambda n=name, a=arguments: getattr(stats, n)(*a)))
        makes.append((f"many generator {name}", lambda n=name: getattr(stats, n)))
    makes += [
        (
            "covariance",
            lambda: [
                stats.Covariance.from_diagonal([1.0]),
                stats.Covariance.from_cholesky(np.eye(2)),
                stats.Covariance.from_eigendecomposition((np.ones(2), np.eye(2))),
                stats.Covariance.from_precision(np.eye(2)),
            ],
        ),
        ("new Normal", lambda: stats.Normal(mu=1.0, sigma=2.0)),
        ("new Uniform", lambda: stats.Uniform(a=1.0, b=2.0)),
        ("new Binomial", lambda: stats.Binomial(n=3, p=0.5)),
        (
            "qmc",
            lambda: [
                stats.qmc.Sobol(2, seed=1),
                stats.qmc.Halton(2, seed=1),
                stats.qmc.LatinHypercube(2, seed=1),
                stats.qmc.PoissonDisk(2, seed=1),
                stats.qmc.MultinomialQMC([0.5, 0.5], 3, seed=1),
                stats.qmc.MultivariateNormalQMC([0.0], seed=1),
            ],
        ),
    ]
    return makes


def _seeded(frozen: Any, seed: Any) -> Any:
    frozen.random_state = seed
    return frozen


def _asked_distribution(frozen: Any) -> Any:
    frozen.rvs(3), frozen.mean(), frozen.ppf(0.3), frozen.entropy()
    return frozen


def _statistics() -> Makes:
    from scipy import stats

    a, b = X[:, 0], X[:, 1]
    makes: Makes = []
    tests: dict[str, tuple[Any, ...]] = {
        "linregress": (a, b),
        "theilslopes": (a, b),
        "siegelslopes": (a, b),
        "pearsonr": (a, b),
        "spearmanr": (a, b),
        "kendalltau": (a, b),
        "weightedtau": (a, b),
        "pointbiserialr": (CLASSES, b),
        "somersd": (THREE, CLASSES),
        "ttest_ind": (a, b),
        "ttest_rel": (a, b),
        "ttest_1samp": (a, 0.0),
        "mannwhitneyu": (a, b),
        "wilcoxon": (a, b),
        "ks_2samp": (a, b),
        "kstest": (a, "norm"),
        "anderson": (a,),
        "anderson_ksamp": ([a, b],),
        "shapiro": (a,),
        "normaltest": (a,),
        "jarque_bera": (a,),
        "kurtosistest": (a,),
        "skewtest": (a,),
        "levene": (a, b),
        "bartlett": (a, b),
        "fligner": (a, b),
        "ansari": (a, b),
        "mood": (a, b),
        "kruskal": (a, b),
        "friedmanchisquare": (a, b, Y),
        "f_oneway": (a, b),
        "alexandergovern": (a, b),
        "tukey_hsd": (a, b),
        "dunnett": (a, b),
        "chi2_contingency": ([[5, 6], [7, 8]],),
        "fisher_exact": ([[5, 6], [7, 8]],),
        "barnard_exact": ([[5, 6], [7, 8]],),
        "boschloo_exact": ([[5, 6], [7, 8]],),
        "binomtest": (3, 10),
        "chisquare": ([5, 6, 7],),
        "power_divergence": ([5, 6, 7],),
        "describe": (a,),
        "mode": (THREE,),
        "ecdf": (a,),
        "bws_test": (a, b),
        "cramervonmises": (a, "norm"),
        "cramervonmises_2samp": (a, b),
        "epps_singleton_2samp": (a, b),
        "energy_distance": (a, b),
        "sigmaclip": (a,),
        "cumfreq": (a,),
        "relfreq": (a,),
        "binned_statistic": (a, b),
        "binned_statistic_2d": (a, b, Y),
        "binned_statistic_dd": ([a, b], Y),
        "bayes_mvs": (a,),
        "mvsdist": (a,),
        "boxcox": (POSITIVE,),
        "yeojohnson": (a,),
        "probplot": (a,),
        "logrank": (POSITIVE, POSITIVE + 1),
        "page_trend_test": (X,),
        "poisson_means_test": (3, 10, 5, 10),
        "quantile_test": (a,),
        "brunnermunzel": (a, b),
        "chatterjeexi": (a, b),
        "median_test": (a, b),
        "multiscale_graphcorr": (a, b),
        "expectile": (a,),
        "false_discovery_control": ([0.1, 0.2],),
        "ranksums": (a, b),
        "combine_pvalues": ([0.1, 0.2],),
        "relative_risk": (),
        "odds_ratio": (),
        "find_repeats": (THREE,),
        "trim_mean": (a, 0.1),
        "rankdata": (a,),
    }
    for name, arguments in tests.items():
        if name == "multiscale_graphcorr":
            makes.append((name, lambda: stats.multiscale_graphcorr(a[:20, None], b[:20, None], reps=2)))
        elif name == "relative_risk":
            makes.append((name, lambda: stats.contingency.relative_risk(3, 10, 4, 10)))
        elif name == "odds_ratio":
            makes.append((name, lambda: stats.contingency.odds_ratio([[5, 6], [7, 8]])))
        else:
            makes.append((name, lambda n=name, g=arguments: getattr(stats, n)(*g)))
    makes += [
        (
            "confidence",
            lambda: [
                stats.pearsonr(a, b).confidence_interval(),
                stats.ttest_ind(a, b).confidence_interval(),
                stats.binomtest(3, 10).proportion_ci(),
            ],
        ),
        ("ecdf used", lambda: [stats.ecdf(stats.CensoredData(a)).cdf.confidence_interval()]),
        ("censored", lambda: stats.CensoredData.right_censored(POSITIVE, CLASSES)),
        ("bootstrap", lambda: stats.bootstrap((a,), np.mean, n_resamples=9)),
        ("permutation", lambda: stats.permutation_test((a, b), lambda x, y: np.mean(x) - np.mean(y), n_resamples=9)),
        ("monte carlo", lambda: stats.monte_carlo_test(a, np.random.default_rng(1).normal, np.mean, n_resamples=9)),
        ("fit", lambda: stats.fit(stats.norm, Y, {"loc": (-3, 3), "scale": (0.1, 3)})),
        ("goodness", lambda: stats.goodness_of_fit(stats.norm, Y, n_mc_samples=9)),
        ("sobol", lambda: stats.sobol_indices(func=lambda x: x[0], n=8, dists=[stats.uniform(), stats.uniform()])),
    ]
    return makes
