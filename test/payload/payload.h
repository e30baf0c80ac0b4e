// What the payload's files share.
#pragma once

typedef int verb_function(int argc, char **argv);

int fail(const char *what);
long number(int argc, char **argv, int at, long otherwise);
int copy_to_stdout(int fd);

verb_function v_listen, v_resolve, v_names, v_connect, v_unix, v_datagrams;
verb_function v_sched, v_ioprio, v_mempolicy, v_personality, v_filter, v_agent;
verb_function v_call, v_threadcall, v_trapcall, v_tracecall, v_signalcall;
verb_function v_notify, v_manager, v_handed, v_orphan;
