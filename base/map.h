/* map.h: two hash maps with open addressing: by 64-bit id, and by name. Values are borrowed
 * pointers, never NULL; names are borrowed too and must live as long as the entry. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_slot {
    uint64_t key; /* the id, or the hash of the name */
    const char *name;
    void *value; /* NULL = free */
};

struct map {
    struct map_slot *slots;
    size_t len, cap; /* cap is 0 or a power of two */
};

/* Names come from outside: whoever knows the seed can choose names that collide and make every
 * search slow. The daemon sets a secret one at its start, before the first map; without it the
 * order of map_next() is the same in every run, which simulations need. */
void map_seed(uint64_t secret_0, uint64_t secret_1);

uint64_t map_name_hash(const char *name); /* with that secret */

void map_deinit(struct map *m); /* a zeroed map is an empty map */
void *map_find(const struct map *m, uint64_t id);
int map_put(struct map *m, uint64_t id, void *value); /* replaces; 0 or -ENOMEM */
void *map_remove(struct map *m, uint64_t id);         /* the value, or NULL */
void *map_find_name(const struct map *m, const char *name);
int map_put_name(struct map *m, const char *name, void *value);
void *map_remove_name(struct map *m, const char *name);
/* Start with *pos = 0; NULL ends. No put or remove between. */
void *map_next(const struct map *m, size_t *pos);

#endif
