// Linked by the C++ compiler, as Meson wants it.
void mica_measure_ceilings();

int main() {
  mica_measure_ceilings();
}
