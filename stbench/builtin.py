"""What stbench itself registers, through the same hooks as everyone else."""

from __future__ import annotations

from stbench.registry import (
    NAME_PATTERN,
    DatasetSpec,
    EncoderSpec,
    ExecutorSpec,
    MetricSpec,
    ModelSpec,
    Paper,
    ProtocolSpec,
    definition_path,
    hookimpl,
    imported_names,
)
from stbench.versions import API_VERSION

STBENCH_API = API_VERSION

RIDGE_SMOKE = {"encoder": "resnet18", "weights": "random", "pixels": 64, "microns": 110.0}


@hookimpl
def stbench_models() -> list[ModelSpec]:
    """Controls; published methods are never built in."""
    return [
        ModelSpec(
            name="mean",
            factory="stbench.models.mean:Mean",
            params="stbench.models.mean:MeanParams",
            title="train mean of each gene",
            control=True,
            deterministic=True,
            imports=(),
            presets={"smoke": {}},
        ),
        ModelSpec(
            name="position",
            factory="stbench.models.position:Position",
            params="stbench.models.position:PositionParams",
            title="nearest training spots by array position, without the image",
            control=True,
            deterministic=True,
            imports=(),
            presets={"smoke": {}},
        ),
        ModelSpec(
            name="ridge",
            factory="stbench.models.ridge:Ridge",
            params="stbench.models.ridge_params:RidgeParams",
            title="ridge regression on frozen image features",
            control=True,
            deterministic=True,
            imports=("timm",),
            presets={"smoke": RIDGE_SMOKE},
        ),
    ]


@hookimpl
def stbench_datasets() -> list[DatasetSpec]:
    """The embedded default, sets others published in the layout they published, and what was imported."""
    imported = [
        DatasetSpec(
            name=name,
            factory="stbench.datasets.imported:Imported",
            title=f"imported: {definition_path(name)}",
            definition=str(definition_path(name)),
        )
        for name in imported_names()
        if NAME_PATTERN.fullmatch(name)
    ]
    return [
        *imported,
        DatasetSpec(
            name="simulated",
            factory="stbench.datasets.simulated.dataset:Simulated",
            title="simulated tissue with known expected expression: 4 patients × 2 sections",
            organ="simulated",
            species="simulated",
            technology="simulated",
        ),
        DatasetSpec(
            name="simulated-hd",
            factory="stbench.datasets.simulated.hd_dataset:SimulatedHD",
            title="the same tissue in square bins of 8 and 16 µm: 2 further patients, 1 section each",
            organ="simulated",
            species="simulated",
            technology="simulated HD",
        ),
        DatasetSpec(
            name="her2st",
            factory="stbench.datasets.her2st:Her2st",
            title="HER2+ breast tumours: 8 patients, 36 sections",
            organ="breast",
            species="human",
            technology="ST",
            licence="CC BY 4.0",
            paper=Paper(authors="Andersson et al.", year=2021, doi="10.1038/s41467-021-26271-2"),
        ),
        DatasetSpec(
            name="cscc",
            factory="stbench.datasets.cscc:CSCC",
            title="cutaneous squamous cell carcinomas: 4 patients, 12 sections",
            organ="skin",
            species="human",
            technology="ST",
            paper=Paper(authors="Ji et al.", year=2020, doi="10.1016/j.cell.2020.05.039"),
        ),
        DatasetSpec(
            name="stnet",
            factory="stbench.datasets.stnet:STNet",
            title="breast tumours: 23 patients, 68 sections",
            organ="breast",
            species="human",
            technology="ST",
            licence="CC BY 4.0",
            paper=Paper(authors="He et al.", year=2020, doi="10.1038/s41551-020-0578-x"),
        ),
        DatasetSpec(
            name="visium",
            factory="stbench.datasets.visium:Visium",
            title="breast cancer, block A of 10x Genomics: 1 patient, 2 sections",
            organ="breast",
            species="human",
            technology="Visium",
            licence="CC BY 4.0",
            paper=Paper(authors="10x Genomics", year=2020),
        ),
        DatasetSpec(
            name="visium-hd-breast",
            factory="stbench.datasets.visium_hd:VisiumHDBreast",
            title="human breast cancer of 10x Genomics: bins of 2, 8 and 16 µm",
            organ="breast",
            species="human",
            technology="Visium HD",
            licence="CC BY 4.0",
            paper=Paper(authors="10x Genomics", year=2024),
        ),
        DatasetSpec(
            name="visium-hd-brain",
            factory="stbench.datasets.visium_hd:VisiumHDBrain",
            title="mouse brain of 10x Genomics: bins of 2, 8 and 16 µm",
            organ="brain",
            species="mouse",
            technology="Visium HD",
            licence="CC BY 4.0",
            paper=Paper(authors="10x Genomics", year=2024),
        ),
        DatasetSpec(
            name="dlpfc",
            factory="stbench.datasets.dlpfc:DLPFC",
            title="dorsolateral prefrontal cortex with its layers: 3 donors, 12 sections (Maynard et al. 2021)",
            organ="brain",
            species="human",
            technology="Visium",
            paper=Paper(authors="Maynard et al.", year=2021, doi="10.1038/s41593-020-00787-0"),
        ),
    ]


@hookimpl
def stbench_protocols() -> list[ProtocolSpec]:
    """The headline protocol and its relatives for fewer patients and slides."""
    return [
        ProtocolSpec(
            name="stbench-v1",
            factory="stbench.protocols.v1:STBENCH_V1",
            title="leave one patient out, 250 spatially variable genes",
        ),
        ProtocolSpec(
            name="stbench-section-v1",
            factory="stbench.protocols.v1:STBENCH_SECTION_V1",
            title="the same, leaving out one section: for one patient",
        ),
        ProtocolSpec(
            name="stbench-blocks-v1",
            factory="stbench.protocols.v1:STBENCH_BLOCKS_V1",
            title="the same, leaving out contiguous fifths: for one slide",
        ),
        ProtocolSpec(
            name="stbench-regions-v1",
            factory="stbench.protocols.v1:STBENCH_REGIONS_V1",
            title="whether clusters of the prediction are the annotated regions: leave one patient out",
        ),
        ProtocolSpec(
            name="histogene-2021",
            factory="stbench.protocols.histogene_2021:HISTOGENE_2021",
            title="HisToGene's task on HER2+ (785 genes) and cSCC (171 by path): leave one section out",
        ),
        ProtocolSpec(
            name="sepal-2023",
            factory="stbench.protocols.sepal_2023:SEPAL_2023",
            title="SEPAL's task: 256 spatially variable genes, denoised log2 TPM, the authors' splits and leaks",
        ),
        ProtocolSpec(
            name="sepal-2023-clean",
            factory="stbench.protocols.sepal_2023:SEPAL_2023_CLEAN",
            title="the same, with nothing fitted or chosen on validation or test slides",
        ),
        ProtocolSpec(
            name="stnet-2020",
            factory="stbench.protocols.stnet_2020:STNET_2020",
            title="ST-Net's task: the 250 genes with the highest mean, log share of counts, leave one patient out",
        ),
        ProtocolSpec(
            name="st-gchb-2024",
            factory="stbench.protocols.st_gchb_2024:ST_GCHB_2024",
            title="ST-GCHB's task on six sections of dlpfc: 2,000 variable genes, four markers, leave one section out",
        ),
        ProtocolSpec(
            name="st-gchb-2024-clean",
            factory="stbench.protocols.st_gchb_2024:ST_GCHB_2024_CLEAN",
            title="the same target on any data set, leaving out one patient, with another to validate on",
        ),
        ProtocolSpec(
            name="pixnet-2025",
            factory="stbench.protocols.pixnet_2025:PIXNET_2025",
            title="PixNet's task: the 250 genes with the highest mean, log-normalised, spots and bins of any size",
        ),
        ProtocolSpec(
            name="pixnet-2025-clean",
            factory="stbench.protocols.pixnet_2025:PIXNET_2025_CLEAN",
            title="the same, with the panel chosen on training slides, leaving out one patient",
        ),
        ProtocolSpec(
            name="stnet-2020-clean",
            factory="stbench.protocols.stnet_2020:STNET_2020_CLEAN",
            title="the same, with the panel chosen on training slides and a patient to validate on",
        ),
    ]


@hookimpl
def stbench_metrics() -> list[MetricSpec]:
    """Metrics derived from moments, and those that need the values themselves."""
    correlation = (-1.0, 1.0)
    share = (0.0, 1.0)
    error = (0.0, None)

    def derived(name: str, title: str, function: str = "", **fields: object) -> MetricSpec:
        factory = f"stbench.metrics.derived:{function or name}"
        return MetricSpec(name=name, factory=factory, title=title, level="gene", derived=True, **fields)  # type: ignore[arg-type]

    def stored(name: str, module: str, title: str, function: str = "", **fields: object) -> MetricSpec:
        factory = f"stbench.metrics.{module}:{function or name}"
        return MetricSpec(name=name, factory=factory, title=title, **{"level": "gene", **fields})  # type: ignore[arg-type]

    def regions(name: str, title: str, value_range: tuple[float, float]) -> list[MetricSpec]:
        def one(kind: str, what: str, **fields: object) -> MetricSpec:
            function = f"{kind.partition('_')[0]}_regions"
            fields = {"level": "slide", "value_range": value_range} | fields
            return stored(f"{name}_{kind}", "regions", f"{title}: labels and {what}", function, **fields)

        return [
            one("kmeans", "KMeans clusters, mean of 10 seeds"),
            one("kmeans_sd", "KMeans clusters, spread over 10 seeds", direction="min", value_range=share, ranks=False),
            one("kmeans_truth", "KMeans clusters of the truth, mean of 10 seeds", ranks=False),
            one("leiden", "Leiden clusters"),
            one("leiden_truth", "Leiden clusters of the truth", ranks=False),
        ]

    return [
        derived("pcc", "Pearson r: genes, then slides, then patients", value_range=correlation),
        derived("pcc_pooled", "r over all test spots of a fold together", "pcc", value_range=correlation, pooled=True),
        derived("pcc_q1", "first quartile of r over genes (PCC@F)", value_range=correlation),
        derived("pcc_median", "median of r over genes (PCC@S)", value_range=correlation),
        derived("pcc_slide", "Pearson r: genes, then slides, unweighted", "pcc", value_range=correlation, unit="slide"),
        derived("pcc_hvg50", "r over the 50 most variable training genes", value_range=correlation),
        derived("pcc_heg50", "r over the 50 most expressed training genes", value_range=correlation),
        derived("pcc_hvg50_test", "r over the 50 most variable genes of the test (legacy)", value_range=correlation),
        derived("pcc_heg50_test", "r over the 50 most expressed genes of the test (legacy)", value_range=correlation),
        derived("pcc_markers", "r over known marker genes, where the protocol marks them", value_range=correlation),
        derived("n_pcc_above_0.3", "number of genes with r above 0.3", "n_pcc_above_03", value_range=error),
        derived("r2", "coefficient of determination", value_range=(None, 1.0)),
        derived("mse", "mean squared error", direction="min", value_range=error),
        derived("mae", "mean absolute error", direction="min", value_range=error),
        derived("rmse", "root mean squared error", direction="min", value_range=error),
        derived("nrmse", "RMSE in standard deviations of the truth", direction="min", value_range=error),
        derived("r2_pooled", "R² over all test spots of a fold together", "r2", value_range=(None, 1.0), pooled=True),
        derived("mse_pooled", "MSE over all test entries of a fold", direction="min", value_range=error, pooled=True),
        derived("mae_pooled", "MAE over all test entries of a fold", direction="min", value_range=error, pooled=True),
        stored(
            "pcc_spot", "spots", "Pearson r across genes, per spot (PCC-Patch)", level="spot", value_range=correlation
        ),
        stored("r2_spot", "spots", "R² across genes, per spot (R2-Patch)", level="spot", value_range=(None, 1.0)),
        stored("neg_log10_p", "significance", "−log₁₀ p of Pearson's r, per gene", value_range=error),
        stored("spearman", "ranks", "Spearman's rank correlation", value_range=correlation),
        stored("zero_auc", "ranks", "AUC of non-zero against zero truth", value_range=share),
        stored("ssim", "ssim", "structural similarity in one window over all spots", value_range=correlation),
        stored("ssim_map", "ssim", "structural similarity in 7 × 7 windows of the map", value_range=correlation),
        stored("jsd", "divergence", "Jensen–Shannon divergence over spots, bits", direction="min", value_range=share),
        stored("moran_error", "autocorrelation", "difference in Moran's I", direction="min", value_range=error),
        stored("moran_pcc", "autocorrelation", "r of Moran's I over genes", level="slide", value_range=correlation),
        *regions("ari", "adjusted Rand index", correlation),
        *regions("ami", "adjusted mutual information", correlation),
        *regions("nmi", "normalised mutual information", share),
    ]


@hookimpl
def stbench_encoders() -> list[EncoderSpec]:
    """Encoders with known weight files."""
    return [
        EncoderSpec(
            name="resnet18",
            factory="stbench.models.timm_encoders:resnet18",
            title="ResNet-18, ImageNet",
            n_features=512,
            weights_repo="timm/resnet18.tv_in1k",
            licence="BSD-3-Clause",
        ),
        EncoderSpec(
            name="resnet50",
            factory="stbench.models.timm_encoders:resnet50",
            title="ResNet-50 after its third stage, ImageNet",
            n_features=1024,
            weights_repo="timm/resnet50.tv_in1k",
            licence="BSD-3-Clause",
        ),
    ]


@hookimpl
def stbench_executors() -> list[ExecutorSpec]:
    """Processes on this machine, and clusters."""
    return [
        ExecutorSpec(
            name="local",
            factory="stbench.execution.local:run_local",
            title="one process per cell on this machine",
        ),
        ExecutorSpec(
            name="ray",
            factory="stbench.execution.ray:run_ray",
            title="a task per cell on a Ray cluster, or on this machine",
            options=("address", "cpus", "gpus", "cache"),
        ),
        ExecutorSpec(
            name="slurm",
            factory="stbench.execution.slurm:run_slurm",
            title="a job per cell in a Slurm queue",
            options=None,
        ),
    ]
