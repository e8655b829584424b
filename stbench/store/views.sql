-- The store's public views. The reader has already made the tables that name no file here:
--   runs                         one row per run record, failed ones included
--   moments_files, metrics_files, rescored_files, predictions_files, points_files, truth_files, spots_files, reference_files
--                                the Parquet files of committed runs; rescored: metrics computed after the run

-- One row per cell that is done: its latest run with status ok. Nothing below counts a cell twice.
CREATE VIEW cells AS
SELECT * EXCLUDE (newest) FROM (
    SELECT *, row_number() OVER (PARTITION BY cell_key ORDER BY run_id DESC) AS newest
    FROM runs WHERE status = 'ok'
) WHERE newest = 1;

CREATE VIEW moments AS
SELECT c.dataset, c.protocol, c.model, c.fold, c.seed, c.cell_key, c.patients[m.slide] AS patient, m.*
FROM moments_files m JOIN cells c USING (run_id);

-- A metric that was computed anew replaces the run's own rows of it.
CREATE VIEW metrics AS
SELECT c.dataset, c.protocol, c.model, c.fold, c.seed, c.cell_key, c.patients[m.slide] AS patient, m.*
FROM (
    SELECT * FROM metrics_files ANTI JOIN (SELECT DISTINCT run_id, metric FROM rescored_files) USING (run_id, metric)
    UNION ALL BY NAME
    SELECT * FROM rescored_files
) m JOIN cells c USING (run_id);

CREATE VIEW truth AS
SELECT t.truth_key, r.dataset, r.protocol, r.fold, t.slide, s.spot, t.gene, t.y_true, t.measured,
       t.spot_row, s.x_px, s.y_px, s.array_row, s.array_col, s.region
FROM truth_files t
JOIN spots_files s USING (truth_key, spot_row)
JOIN (SELECT DISTINCT dataset, protocol, fold, unnest(map_values(truth_keys)) AS truth_key FROM cells) r
  USING (truth_key);

CREATE VIEW predictions AS
SELECT p.run_id, p.truth_key, c.dataset, c.protocol, c.model, c.fold, c.seed, p.slide, s.spot, p.gene,
       p.y_pred, p.y_std, p.spot_row
FROM predictions_files p
JOIN cells c USING (run_id)
JOIN spots_files s USING (truth_key, spot_row);

-- What a model said of a slide beyond its spots: squares of super-resolution.
CREATE VIEW points AS
SELECT p.run_id, c.dataset, c.protocol, c.model, c.fold, c.seed, p.slide, p.gene, p.x_px, p.y_px, p.side_um, p.y_pred
FROM points_files p
JOIN cells c USING (run_id);

-- Per gene: r is 0 for a constant prediction and null where it is not defined; r2 likewise. nrmse is in standard deviations of the truth.
CREATE MACRO gene_pcc(n, ss_true, ss_pred, crossed) AS
    CASE WHEN n < 2 OR ss_true = 0 THEN NULL
         WHEN ss_pred = 0 THEN 0.0
         ELSE greatest(-1.0, least(1.0, crossed / (sqrt(ss_true) * sqrt(ss_pred)))) END;
CREATE MACRO gene_sse(n, mean_true, mean_pred, ss_true, ss_pred, crossed) AS
    greatest(0.0, ss_true + ss_pred - 2 * crossed + n * (mean_pred - mean_true) * (mean_pred - mean_true));
CREATE MACRO gene_r2(n, ss_true, sse) AS CASE WHEN n >= 2 AND ss_true > 0 THEN 1 - sse / ss_true END;

CREATE VIEW gene_scores AS
SELECT dataset, protocol, model, fold, seed, cell_key, run_id, split, patient, slide, gene, n, hvg50, heg50, marker,
       mean_true, CASE WHEN n > 0 THEN ss_true / n END AS var_true,
       gene_pcc(n, ss_true, ss_pred, "cross") AS pcc,
       CASE WHEN n < 2 THEN 'too_few' WHEN ss_true = 0 THEN 'constant_truth'
            WHEN ss_pred = 0 THEN 'constant_prediction' END AS undefined_reason,
       gene_r2(n, ss_true, sse) AS r2,
       CASE WHEN n > 0 THEN sse / n END AS mse,
       CASE WHEN n > 0 THEN sum_abs / n END AS mae,
       CASE WHEN n > 0 THEN sqrt(sse / n) END AS rmse,
       sqrt(1 - gene_r2(n, ss_true, sse)) AS nrmse
FROM (SELECT *, gene_sse(n, mean_true, mean_pred, ss_true, ss_pred, "cross") AS sse FROM moments);

-- Moments of all slides of a fold merged exactly: within plus between slides. Means that differ by less than float32
-- resolves (`stbench.stats.moments.RESOLUTION`) are alike: a rounding step between two constants is no signal.
CREATE MACRO deviation(mean, grand) AS
    CASE WHEN abs(mean - grand) > 4 * 1.1920928955078125e-07 * greatest(abs(mean), abs(grand)) THEN mean - grand ELSE 0.0 END;
CREATE VIEW pooled_moments AS
WITH several AS (
    SELECT run_id, split FROM moments GROUP BY ALL HAVING min(slide) <> max(slide)
), merged AS (
    SELECT run_id, split, gene,
           any_value(hvg50) AS hvg50, any_value(heg50) AS heg50, any_value(marker) AS marker,
           sum(n) AS n,
           sum(n * mean_true) / greatest(sum(n), 1) AS mean_true,
           sum(n * mean_pred) / greatest(sum(n), 1) AS mean_pred,
           sum(ss_true) + sum(n * d_true * d_true) AS ss_true,
           sum(ss_pred) + sum(n * d_pred * d_pred) AS ss_pred,
           sum("cross") + sum(n * d_true * d_pred) AS "cross",
           sum(sum_abs) AS sum_abs
    FROM (
        SELECT *, deviation(mean_true, sum(n * mean_true) OVER g / greatest(sum(n) OVER g, 1)) AS d_true,
                  deviation(mean_pred, sum(n * mean_pred) OVER g / greatest(sum(n) OVER g, 1)) AS d_pred
        FROM moments SEMI JOIN several USING (run_id, split) WINDOW g AS (PARTITION BY run_id, split, gene)
    )
    GROUP BY run_id, split, gene
    UNION ALL  -- a fold of one slide has nothing to merge
    SELECT run_id, split, gene, hvg50, heg50, marker, n, mean_true, mean_pred, ss_true, ss_pred, "cross", sum_abs
    FROM moments ANTI JOIN several USING (run_id, split)
)
SELECT c.dataset, c.protocol, c.model, c.fold, c.seed, c.cell_key, m.* FROM merged m JOIN cells c USING (run_id);

-- One row per slide and metric; in means a constant prediction counts as 0, and genes whose truth is constant are left out.
-- The `_test` reductions take the 50 genes with the largest variance or mean in the slide's own truth, ties included.
CREATE VIEW slide_scores AS
WITH reduced AS (
    SELECT run_id, split, slide,
           avg(pcc) AS pcc,
           quantile_cont(pcc, 0.25) AS pcc_q1,
           quantile_cont(pcc, 0.5) AS pcc_median,
           avg(pcc) AS pcc_slide,
           avg(pcc) FILTER (hvg50) AS pcc_hvg50,
           avg(pcc) FILTER (heg50) AS pcc_heg50,
           avg(pcc) FILTER (n > 0 AND var_true >= least_variable) AS pcc_hvg50_test,
           avg(pcc) FILTER (n > 0 AND mean_true >= least_expressed) AS pcc_heg50_test,
           avg(pcc) FILTER (marker) AS pcc_markers, count(marker) > 0 AS has_markers,
           CASE WHEN count(pcc) > 0 THEN (count(*) FILTER (pcc > 0.3))::DOUBLE END AS "n_pcc_above_0.3",
           avg(r2) AS r2, avg(mse) AS mse, avg(mae) AS mae, avg(rmse) AS rmse, avg(nrmse) AS nrmse
    FROM gene_scores LEFT JOIN (
        SELECT run_id, split, slide,  -- the 50th, or the last where there are fewer: a sort of all genes takes thrice the time
               max(var_true, 50)[-1] AS least_variable, max(mean_true, 50) FILTER (n > 0)[-1] AS least_expressed
        FROM gene_scores GROUP BY run_id, split, slide
    ) USING (run_id, split, slide) GROUP BY run_id, split, slide
), wide AS (
    SELECT c.dataset, c.protocol, c.model, c.fold, c.seed, c.cell_key, r.run_id, r.split,
           c.patients[r.slide] AS patient, r.* EXCLUDE (run_id, split)
    FROM reduced r JOIN cells c USING (run_id)
)
SELECT * EXCLUDE (has_markers) FROM wide UNPIVOT INCLUDE NULLS (
    value FOR metric IN (pcc, pcc_q1, pcc_median, pcc_slide, pcc_hvg50, pcc_heg50, pcc_hvg50_test, pcc_heg50_test,
                         pcc_markers, "n_pcc_above_0.3", r2, mse, mae, rmse, nrmse)
)
WHERE has_markers OR metric <> 'pcc_markers'
UNION ALL BY NAME
SELECT dataset, protocol, model, fold, seed, cell_key, run_id, split, patient, slide, metric,
       avg(CASE WHEN undefined_reason = 'constant_prediction' THEN 0.0 ELSE value END) AS value
FROM metrics GROUP BY ALL;

-- One row per fold for metrics taken over all its test spots together.
CREATE VIEW fold_scores AS
WITH wide AS (
    SELECT run_id, split,
           avg(gene_pcc(n, ss_true, ss_pred, "cross")) AS pcc_pooled,
           avg(gene_r2(n, ss_true, sse)) AS r2_pooled,
           sum(sse) / nullif(sum(n), 0) AS mse_pooled,
           sum(sum_abs) / nullif(sum(n), 0) AS mae_pooled
    FROM (SELECT *, gene_sse(n, mean_true, mean_pred, ss_true, ss_pred, "cross") AS sse FROM pooled_moments)
    GROUP BY run_id, split
)
SELECT c.dataset, c.protocol, c.model, c.fold, c.seed, c.cell_key, w.* FROM cells c JOIN (
    FROM wide UNPIVOT INCLUDE NULLS (value FOR metric IN (pcc_pooled, r2_pooled, mse_pooled, mae_pooled))
) w USING (run_id);

-- References computed from the truth (never ranked): one row per run, test slide and reference.
CREATE VIEW reference_scores AS
SELECT c.dataset, c.protocol, c.fold, c.run_id, r.truth_key, c.patients[r.slide] AS patient, r.slide, r.reference, r.pcc
FROM (SELECT *, unnest(map_values(truth_keys)) AS truth_key FROM cells) c
JOIN (
    SELECT truth_key, reference, slide, avg(gene_pcc(n, ss_true, ss_pred, "cross")) AS pcc
    FROM reference_files GROUP BY ALL
) r USING (truth_key);
