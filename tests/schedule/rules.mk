# Part of the Makefile: the scheduler's sources once more, with a point before each atomic operation
# at which the schedule may change (controlled.h), and the plays that are run on them.
PLAYS    := $(call objects,$(filter-out %/test_schedule.c,$(wildcard tests/schedule/*.c)))
PLAYED   := $(patsubst %,$(B)/controlled/scheduler/%.o,runq wait chan select waiters mutex semaphore event group timer run)
# Its own play stands in for what is around it; all others have the house's task_leave.
$(B)/controlled/scheduler/run.o: CFLAGS += -Dtask_leave=played_leave -Dswitch_context=played_switch \
    -Dswitch_alike=played_switch_alike -Dstack_get=played_stack_get -Dstack_put=played_stack_put \
    -Dgroup_members_ended=played_members_ended -Dgroup_lets_linger=played_lets_linger

$(B)/controlled/%.o: %.c
	@mkdir -p $(@D) && echo "  cc    $@"
	@$(CC) $(CFLAGS) -include tests/schedule/controlled.h -MMD -MP -c -o $@ $<
# Not a pattern: make would take the one for all tests while a play is not yet compiled.
$(B)/tests/schedule/test_schedule: $(B)/tests/schedule/test_schedule.o $(PLAYS) $(PLAYED) $(B)/libstint.a
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(shell $(PKG) --libs check)
