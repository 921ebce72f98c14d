/* The one place that names the version: --version, the start line of the log, /metrics. */
#ifndef OPS_VERSION_H
#define OPS_VERSION_H

#define PARLOR_VERSION "0.1.0"

#endif
