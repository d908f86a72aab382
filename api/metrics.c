/* metrics.c: counters for Prometheus, text format 0.0.4. Names end in their unit; counters in
 * _total. How many lines there are is bounded: routes and words are fixed, queues are cut. */
#include "api/api_parts.h"

#include "api/problem.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "jobs/engine_admin.h"
#include "scheduler/block.h"
#include "scheduler/observe.h"
#include "scheduler/scheduler.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define QUEUES_MAX 200
#define PROCESSORS_MAX 64 /* of more only the sums are told */

static void put_head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_putf(b, "# HELP stint_%s %s\n# TYPE stint_%s %s\n", name, help, name, type);
}

static void put_value(struct buf *b, const char *name, const char *type, const char *help,
                      uint64_t value)
{
    put_head(b, name, type, help);
    buf_putf(b, "stint_%s %llu\n", name, (unsigned long long)value);
}

/* ------------------------------------------------------------------------- the engine */

static void put_states(struct buf *b, const struct engine_stats *stats)
{
    put_head(b, "jobs", "gauge", "Jobs that wait or run now, by state.");
    for (enum job_state s = JOB_HELD; s < JOB_STATE_COUNT; s++)
        if (!job_state_is_final(s))
            buf_putf(b, "stint_jobs{state=\"%s\"} %llu\n", job_state_name(s),
                     (unsigned long long)stats->counts[s]);
    put_head(b, "jobs_ended_total", "counter", "Jobs that have ended, by state.");
    for (enum job_state s = JOB_HELD; s < JOB_STATE_COUNT; s++)
        if (job_state_is_final(s))
            buf_putf(b, "stint_jobs_ended_total{state=\"%s\"} %llu\n", job_state_name(s),
                     (unsigned long long)stats->counts[s]);
}

static void put_attempts(struct buf *b, const struct engine_stats *stats)
{
    put_value(b, "jobs_submitted_total", "counter", "Jobs accepted since the start.",
              stats->submitted);
    put_head(b, "attempts_started_total", "counter", "Attempts started, by kind.");
    for (enum job_kind k = KIND_EXEC; k < KIND_COUNT; k++)
        buf_putf(b, "stint_attempts_started_total{kind=\"%s\"} %llu\n", job_kind_name(k),
                 (unsigned long long)stats->started[k]);
    put_head(b, "attempts_ended_total", "counter", "Attempts that ended, by reason.");
    for (enum job_reason r = REASON_NONE; r < REASON_COUNT; r++) {
        const char *name = r == REASON_NONE ? "succeeded" : job_reason_name(r);

        if (stats->ended[r] > 0 || r == REASON_NONE)
            buf_putf(b, "stint_attempts_ended_total{reason=\"%s\"} %llu\n", name,
                     (unsigned long long)stats->ended[r]);
    }
    put_value(b, "attempts_failed_total", "counter", "Attempts that failed.",
              stats->attempts_failed);
    put_value(b, "jobs_recovered_total", "counter", "Jobs taken back from a dead daemon.",
              stats->recovered);
    put_value(b, "jobs_poisoned_total", "counter", "Jobs given up after killing the daemon.",
              stats->poisoned);
    put_value(b, "writes_superseded_total", "counter", "Writes refused for an old fence.",
              stats->superseded);
}

static void put_commits(struct buf *b, const struct engine_stats *stats)
{
    put_value(b, "commits_total", "counter", "Transactions.", stats->commits);
    put_value(b, "commit_changes_total", "counter", "Changes in them.", stats->commit_changes);
    put_value(b, "commit_failures_total", "counter", "Transactions that failed.",
              stats->commit_failures);
    put_head(b, "commit_seconds_total", "counter", "Time spent in transactions.");
    buf_putf(b, "stint_commit_seconds_total %.6f\n", (double)stats->commit_ns_total / 1e9);
    put_head(b, "commit_seconds_max", "gauge", "The longest transaction so far.");
    buf_putf(b, "stint_commit_seconds_max %.6f\n", (double)stats->commit_ns_max / 1e9);
    put_value(b, "backlog", "gauge", "Requests that wait for their transaction.",
              stats->backlog);
    put_value(b, "workers_waiting", "gauge", "Workers that wait for a job to lease.",
              stats->workers_waiting);
    put_value(b, "writable", "gauge", "1 while the store can be written.", stats->writable);
    put_value(b, "draining", "gauge", "1 while the daemon stops.", stats->draining);
    put_value(b, "store_file_bytes", "gauge", "Size of the store.", stats->store.file_bytes);
    put_value(b, "store_wal_bytes", "gauge", "Size of its write-ahead log.",
              stats->store.wal_bytes);
    put_value(b, "store_syncs_total", "counter", "Syncs to the disk.", stats->store.syncs);
}

/* Label values: names of queues hold no character that needs an escape. */
static void put_queues(struct buf *b, const struct queue_list *list)
{
    size_t count = list->count < QUEUES_MAX ? list->count : QUEUES_MAX;

    put_head(b, "queue_jobs", "gauge", "Jobs that wait or run now, by queue and state.");
    for (size_t i = 0; i < count; i++)
        for (enum job_state s = JOB_HELD; s < JOB_STATE_COUNT; s++)
            if (!job_state_is_final(s) && list->items[i].counts[s] > 0)
                buf_putf(b, "stint_queue_jobs{queue=\"%s\",state=\"%s\"} %llu\n",
                         list->items[i].record.name, job_state_name(s),
                         (unsigned long long)list->items[i].counts[s]);
    put_head(b, "queue_latency_seconds", "gauge", "How long the oldest queued job waits.");
    for (size_t i = 0; i < count; i++)
        buf_putf(b, "stint_queue_latency_seconds{queue=\"%s\"} %.3f\n",
                 list->items[i].record.name, (double)list->items[i].oldest_ms / 1e3);
    put_value(b, "queues_not_shown", "gauge", "Queues beyond the bound of this list.",
              list->count - count);
}

/* ------------------------------------------------------------------------- the rest */

/* Of all processors: a series of each would be two dozen lines a core. */
static void put_latency_of_tasks(struct buf *b)
{
    static const char name[] = "stint_task_latency_seconds";
    struct scheduler_processor_stats one, all = {.runs = 0};
    uint64_t below = 0;

    for (unsigned i = 0; scheduler_processor_stats(i, &one); i++) {
        for (unsigned k = 0; k < SCHEDULER_LATENCY_BUCKETS; k++)
            all.latency[k] += one.latency[k];
        all.latency_total_ns += one.latency_total_ns;
    }
    put_head(b, "task_latency_seconds", "histogram",
             "From runnable to running, of about one task in 512.");
    for (unsigned k = 0; k < SCHEDULER_LATENCY_BUCKETS; k++) {
        below += all.latency[k];
        if (k + 1 < SCHEDULER_LATENCY_BUCKETS)
            buf_putf(b, "%s_bucket{le=\"%g\"} %llu\n", name,
                     (double)scheduler_latency_bound_ns(k) / 1e9, (unsigned long long)below);
        else
            buf_putf(b, "%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)below);
    }
    buf_putf(b, "%s_sum %.9f\n%s_count %llu\n", name, (double)all.latency_total_ns / 1e9, name,
             (unsigned long long)below);
}

struct processor_row {
    const char *name, *type, *help;
    size_t at; /* in struct scheduler_processor_stats */
};

static void put_processors(struct buf *b)
{
    static const struct processor_row rows[] = {
        {"processor_runs_total", "counter", "Times it picked a task.",
         offsetof(struct scheduler_processor_stats, runs)},
        {"processor_parks_total", "counter", "Times a task parked on it.",
         offsetof(struct scheduler_processor_stats, parks)},
        {"processor_steals_total", "counter", "Times it stole tasks.",
         offsetof(struct scheduler_processor_stats, steals)},
        {"processor_handoffs_total", "counter", "Times it was handed over for a blocking call.",
         offsetof(struct scheduler_processor_stats, handoffs)},
        {"processor_queue_length", "gauge", "Tasks ready in its queue.",
         offsetof(struct scheduler_processor_stats, run_queue_len)},
    };
    struct scheduler_processor_stats s;

    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        put_head(b, rows[r].name, rows[r].type, rows[r].help);
        for (unsigned i = 0; i < PROCESSORS_MAX && scheduler_processor_stats(i, &s); i++)
            buf_putf(b, "stint_%s{processor=\"%u\"} %llu\n", rows[r].name, i,
                     (unsigned long long)*(const uint64_t *)(const void *)((const char *)&s +
                                                                           rows[r].at));
    }
}

static void put_scheduler(struct buf *b)
{
    struct scheduler_stats s;

    scheduler_stats(&s);
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"tasks", "gauge", "Tasks that live now.", s.tasks_live},
        {"tasks_created_total", "counter", "Tasks created.", s.tasks_created},
        {"task_runs_total", "counter", "Times a task was picked.", s.runs},
        {"task_parks_total", "counter", "Times a task parked.", s.parks},
        {"task_yields_total", "counter", "Times a task yielded.", s.yields},
        {"steals_total", "counter", "Times a processor stole tasks.", s.steals},
        {"steal_attempts_total", "counter", "Times it tried.", s.steal_attempts},
        {"handoffs_total", "counter", "Processors handed over for a blocking call.",
         s.handoffs},
        {"polls_total", "counter", "Looks at the poller.", s.polls},
        {"wakes_total", "counter", "Threads woken.", s.wakes},
        {"timers_fired_total", "counter", "Timers that fired.", s.timers_fired},
        {"run_queue_length", "gauge", "Tasks ready in local queues.", s.run_queue_len},
        {"global_queue_length", "gauge", "Tasks ready in the global queue.",
         s.global_queue_len},
        {"threads", "gauge", "Threads of the scheduler.", s.threads},
        {"threads_blocked", "gauge", "Threads that run a task without a processor.",
         s.threads_blocked},
        {"threads_taken", "gauge", "Of these: whose task ran on while others waited.",
         s.threads_taken},
        {"takes_total", "counter", "Processors taken from such tasks.", s.takes},
        {"processors", "gauge", "Processors.", s.processors},
        {"processors_idle", "gauge", "Processors without work.", s.processors_idle},
        {"stacks", "gauge", "Stacks in use.", s.stacks_live},
        {"stacks_cached", "gauge", "Stacks kept for the next task.", s.stacks_cached},
        {"stacks_canary", "gauge", "Stacks without a guard page.", s.stacks_canary},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        put_value(b, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    put_latency_of_tasks(b);
    put_processors(b);
}

static void put_status(void *ctx, const char *method, const char *pattern, int status,
                       uint64_t count)
{
    buf_putf(ctx, "stint_http_requests_total{method=\"%s\",route=\"%s\",status=\"%d\"} %llu\n",
             method, pattern, status > 0 ? status : 0, (unsigned long long)count);
}

static void put_latency(void *ctx, const struct server_route_stats *route)
{
    static const char name[] = "stint_http_request_seconds";
    uint64_t below = 0;

    for (unsigned i = 0; i < SERVER_LATENCY_BUCKETS; i++) {
        below += route->latency[i];
        buf_putf(ctx, "%s_bucket{method=\"%s\",route=\"%s\",le=\"", name, route->method,
                 route->pattern);
        if (i + 1 < SERVER_LATENCY_BUCKETS)
            buf_putf(ctx, "%g\"} %llu\n", server_latency_us[i] / 1e6,
                     (unsigned long long)below);
        else
            buf_putf(ctx, "+Inf\"} %llu\n", (unsigned long long)below);
    }
    buf_putf(ctx, "%s_sum{method=\"%s\",route=\"%s\"} %.6f\n", name, route->method,
             route->pattern, (double)route->latency_us_total / 1e6);
    buf_putf(ctx, "%s_count{method=\"%s\",route=\"%s\"} %llu\n", name, route->method,
             route->pattern, (unsigned long long)below);
}

static void put_http(struct buf *b, struct server *server)
{
    struct server_stats s;

    server_stats(server, &s);
    put_value(b, "http_connections", "gauge", "Connections open now.", s.connections);
    put_value(b, "http_connections_total", "counter", "Connections accepted.", s.accepted);
    put_value(b, "http_connections_refused_total", "counter",
              "Connections refused because all were taken.", s.refused_full);
    put_value(b, "http_requests_timed_out_total", "counter",
              "Requests that took too long to arrive.", s.timed_out);
    put_value(b, "http_requests_active", "gauge", "Requests being served.", s.active);
    put_head(b, "http_requests_total", "counter", "Requests by route and status.");
    server_stats_statuses(server, put_status, b);
    put_head(b, "http_request_seconds", "histogram",
             "From the request line to the last byte of the answer.");
    server_stats_routes(server, put_latency, b);
}

static void put_process(struct buf *b, const struct api_options *options)
{
    OWN_BUF struct buf text = BUF_INIT;
    unsigned long long pages = 0, resident = 0;

    block_enter(BLOCK_FILE);
    int r = io_file_read(AT_FDCWD, "/proc/self/statm", 4096, &text);
    block_leave();
    if (r == 0 && sscanf(buf_str(&text), "%llu %llu", &pages, &resident) == 2) {
        uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);

        put_value(b, "process_resident_bytes", "gauge", "Memory in use.",
                  resident * page_bytes);
        put_value(b, "process_virtual_bytes", "gauge", "Address space in use.",
                  pages * page_bytes);
    }
    put_value(b, "process_uptime_seconds", "gauge", "Since the start.",
              (uint64_t)(clock_wall_ms() - options->started_at_ms) / 1000);
    put_head(b, "build_info", "gauge", "1, with the version.");
    buf_putf(b, "stint_build_info{version=\"%s\"} 1\n", options->version);
}

void metrics_get(struct request *q)
{
    static const char *const names[] = {NULL};
    struct api *api = api_of(q);
    struct queue_list list = {.items = NULL};
    struct engine_stats stats;
    OWN_BUF struct buf b = BUF_INIT;

    if (!params_known(q, names))
        return;
    int r = engine_queues(api->options.engine, &list);
    if (r != 0) {
        problem_engine(q, r, NULL);
        return;
    }
    engine_stats(api->options.engine, &stats);
    put_states(&b, &stats);
    put_attempts(&b, &stats);
    put_value(&b, "jobs_removed_total", "counter", "Ended jobs removed by retention.",
              engine_removed(api_of(q)->options.engine));
    put_commits(&b, &stats);
    put_queues(&b, &list);
    put_scheduler(&b);
    put_http(&b, api->server);
    put_process(&b, &api->options);
    queue_list_deinit(&list);
    reply_text(q, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
}
