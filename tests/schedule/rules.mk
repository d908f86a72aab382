# Part of the Makefile: the scheduler's sources once more, with a point before each atomic operation
# at which the schedule may change (controlled.h), and the plays that are run on them.
PLAYS    := $(call objects,$(filter-out %/test_schedule.c,$(wildcard tests/schedule/*.c)))
PLAYED   := $(patsubst %,$(B)/controlled/scheduler/%.o,runq wait chan select waiters mutex semaphore event group timer)

$(B)/controlled/%.o: %.c
	@mkdir -p $(@D) && echo "  cc    $@"
	@$(CC) $(CFLAGS) -include tests/schedule/controlled.h -MMD -MP -c -o $@ $<
$(B)/tests/schedule/%: $(B)/tests/schedule/%.o $(PLAYS) $(PLAYED) $(B)/libstint.a
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(shell $(PKG) --libs check)
