with Ada.Text_IO; use Ada.Text_IO;
with Ada.Containers.Vectors;
procedure Lines is
   package Numbers is new Ada.Containers.Vectors (Positive, Integer);
   List : Numbers.Vector;
   function Square (N : Integer) return Integer is (N * N) with Inline_Always;
   function Total return Integer is
      Sum : Integer := 0;
   begin
      for N of List loop
         Sum := Sum + Square (N);
      end loop;
      return Sum;
   end Total;
begin
   for I in 1 .. 10 loop
      List.Append (I);
   end loop;
   Put_Line (Integer'Image (Total));
end Lines;
